// The tables of slurm_parse.h: what texts mean, and what to do.

#include <absl/strings/ascii.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include "server/base/secret.h"
#include "server/base/strings.h"
#include "server/platforms/slurm/slurm_parse.h"

namespace tao::platforms {
namespace {

constexpr size_t kMaxWords = 600;  // of Slurm, in one of our errors

// On one line, without the programs' own prefixes.
std::string OneLine(std::string_view words) {
  std::string line;
  for (absl::string_view part : absl::StrSplit(base::ToAbsl(words), '\n')) {
    part = absl::StripAsciiWhitespace(part);
    if (part.empty()) continue;
    if (!line.empty()) line += "; ";
    line += base::ToStd(part);
  }
  while (!line.empty() && line.back() == '.') line.pop_back();
  line = base::Redact(std::move(line));
  if (line.size() > kMaxWords) line = line.substr(0, kMaxWords) + "...";
  return line.empty() ? "it said nothing" : line;
}

}  // namespace

const std::vector<SlurmFailureRule>& SlurmFailureRules() {
  using Code = absl::StatusCode;
  using Kind = SlurmFailure;
  constexpr Code kPrecondition = Code::kFailedPrecondition;
  constexpr std::string_view kReach =
      "Is the host up, and is the VPN connected? SLURM_HOSTNAME may list several login hosts";
  constexpr std::string_view kCredentials =
      "The registry refused: ~/.config/enroot/.credentials on the cluster needs a line for "
      "machine nvcr.io and one for machine authn.nvidia.com (login $oauthtoken, the NGC key as "
      "password), and the key's organisation must be entitled to the image";
  constexpr std::string_view kShape =
      "No node of the partition has that many GPUs or CPUs or that much memory, or its GPUs have "
      "another type: sinfo -o '%P %c %m %G' lists what there is (--gpu-count, --platform-option "
      "gpu-type=TYPE, --cpus, --mem)";
  constexpr std::string_view kAccount =
      "Correct --platform-option account=NAME (or SLURM_ACCOUNT): sacctmgr -nP show assoc "
      "user=USER "
      "format=account,partition lists yours";
  constexpr std::string_view kPartition =
      "Correct --partition (or SLURM_PARTITION): sinfo -s on a login host lists them";
  constexpr std::string_view kBrokenNode =
      "The node's GPU software is broken: tell the cluster's administrators which node it is, and "
      "start again";
  constexpr std::string_view kNoPyxis =
      "This cluster has no Pyxis (the container plugin of srun), which platform slurm needs: ask "
      "its administrators to install it (https://github.com/NVIDIA/pyxis)";
  constexpr std::string_view kFault = "This is a fault of the server: please report it";
  constexpr std::string_view kMaybe =
      "Slurm's controller does not answer, and the job may have been submitted all the same: it is "
      "looked for by its name";
  // The first row that fits wins: what names one cause stands before what may have many.
  static const auto* const rules = new std::vector<SlurmFailureRule>{
      // ssh
      {"remote host identification has changed", Kind::kOther, kPrecondition,
       "The login host's key has changed: ask whoever runs it, and add the new key by hand"},
      {"host key verification failed", Kind::kOther, kPrecondition,
       "Check the login host's key and add it by hand, once: ssh USER@HOST"},
      {"permission denied (publickey", Kind::kOther, kPrecondition,
       "The key or the user is wrong: check SSH_KEY_PATH (or the agent) and SLURM_USER"},
      {"could not resolve hostname", Kind::kOther, kPrecondition,
       "Check SLURM_HOSTNAME, and the VPN if the name is an internal one"},
      {"address already in use", Kind::kOther, Code::kResourceExhausted,
       "Another program has the port; another one is tried"},
      {"cannot listen to port", Kind::kOther, Code::kResourceExhausted,
       "Another program has the port; another one is tried"},
      {"administratively prohibited", Kind::kOther, kPrecondition,
       "The login host does not forward connections: its administrators must allow it "
       "(AllowTcpForwarding in sshd_config), or name another host in SLURM_HOSTNAME"},
      {"open failed: connect failed: connection refused", Kind::kOther, Code::kUnavailable,
       "The server in the container does not listen yet"},
      {"connection refused", Kind::kOther, Code::kUnavailable, kReach},
      {"connection timed out", Kind::kOther, Code::kUnavailable, kReach},
      // Pyxis and enroot
      {"unrecognized option '--container", Kind::kOther, kPrecondition, kNoPyxis},
      {"401 unauthorized", Kind::kOther, Code::kPermissionDenied, kCredentials},
      {"could not process json input", Kind::kOther, Code::kPermissionDenied, kCredentials},
      {"invalid image reference", Kind::kOther, kPrecondition,
       "The image must be REGISTRY#IMAGE:TAG in lower case, or a path that begins with / or ./ "
       "(--container-image, IMAGE_<KEY>)"},
      {"--container-mounts: source path does not exist", Kind::kOther, kPrecondition,
       "The folder is not on the compute node: mounts need shared storage (--mount, "
       "--container-mounts, SLURM_CONTAINER_MOUNTS)"},
      {"nvidia-container-cli", Kind::kOther, kPrecondition, kBrokenNode},
      {"kernel module nvidia_uvm is not loaded", Kind::kOther, kPrecondition, kBrokenNode},
      {"invalid image format", Kind::kOther, kPrecondition,
       "The image is no squashfs file: make it with enroot import -o FILE.sqsh docker://..."},
      {"pyxis: failed to import docker image", Kind::kOther, kPrecondition,
       "enroot could not fetch the image; the lines above it in the log say why"},
      {"pyxis: failed to create container filesystem for image", Kind::kOther, kPrecondition,
       "enroot could not unpack the image: does it exist there, and has the node room for it?"},
      {"pyxis: container start failed with error code", Kind::kOther, kPrecondition,
       "The lines of enroot above it in the log say why"},
      {"container exited too soon", Kind::kOther, kPrecondition,
       "The lines of enroot above it in the log say why"},
      // sbatch
      {"invalid account or account/partition combination", Kind::kOther, kPrecondition, kAccount},
      {"invalid partition name", Kind::kOther, kPrecondition, kPartition},
      {"invalid partition specified", Kind::kOther, kPrecondition, kPartition},
      {"partition in down state", Kind::kOther, kPrecondition, kPartition},
      {"required partition not available", Kind::kOther, kPrecondition, kPartition},
      {"requested node configuration is not available", Kind::kOther, kPrecondition, kShape},
      {"more processors requested than permitted", Kind::kOther, kPrecondition, kShape},
      {"invalid generic resource", Kind::kOther, kPrecondition, kShape},
      {"memory specification can not be satisfied", Kind::kOther, kPrecondition,
       "No node of the partition has that much memory: lower --mem"},
      {"requested time limit is invalid", Kind::kOther, kPrecondition,
       "Lower --time (or SLURM_TIME_HOURS): sinfo -o '%P %l' shows each partition's limit"},
      {"job violates accounting/qos policy", Kind::kOther, Code::kResourceExhausted,
       "A quota or a limit on submitted jobs is used up: ask for fewer GPUs, or wait"},
      {"invalid qos specification", Kind::kOther, kPrecondition,
       "The account has no right to this quality of service: correct --qos or the account"},
      {"access/permission denied", Kind::kOther, kPrecondition,
       "The user or the account has no right to it: check SLURM_USER and SLURM_ACCOUNT"},
      {"user's group not permitted to use this partition", Kind::kOther, kPrecondition, kPartition},
      {"this does not look like a batch script", Kind::kOther, Code::kInternal, kFault},
      {"contains dos line breaks", Kind::kOther, Code::kInternal, kFault},
      {"unrecognized option", Kind::kOther, kPrecondition,
       "This version of Slurm does not know an option that the server uses: 20.11 or newer is "
       "needed"},
      {"unable to contact slurm controller", Kind::kMaybeSubmitted, Code::kUnavailable, kMaybe},
      {"socket timed out on send/recv operation", Kind::kMaybeSubmitted, Code::kUnavailable,
       kMaybe},
      {"protocol authentication error", Kind::kNoController, Code::kUnavailable,
       "munge does not work on the login host or on the controller: tell the cluster's "
       "administrators"},
      {"slurm temporarily unable to accept job", Kind::kNoController, Code::kUnavailable,
       "The controller is busy: try again"},
      // squeue, scancel, sacct
      {"already completing or completed", Kind::kJobIsOver, Code::kOk, ""},
      {"invalid job id specified", Kind::kNoSuchJob, Code::kNotFound, ""},
      {"slurm accounting storage is disabled", Kind::kNoAccounting, kPrecondition, ""},
  };
  return *rules;
}

const SlurmFailureRule* SlurmRuleFor(std::string_view words) {
  const std::string lower = base::AsciiLower(words);
  for (const SlurmFailureRule& rule : SlurmFailureRules()) {
    if (lower.find(rule.text) != std::string::npos) return &rule;
  }
  return nullptr;
}

SlurmFailure SlurmFailureOf(std::string_view words) {
  const SlurmFailureRule* const rule = SlurmRuleFor(words);
  return rule == nullptr ? SlurmFailure::kOther : rule->kind;
}

absl::Status SlurmError(std::string_view what, int exit_code, std::string_view words) {
  const SlurmFailureRule* const rule = SlurmRuleFor(words);
  const std::string text =
      absl::StrFormat("%s: %s (exit code %d)", what, OneLine(words), exit_code);
  if (rule == nullptr || rule->code == absl::StatusCode::kOk) {
    return absl::FailedPreconditionError(text);
  }
  return absl::Status(rule->code,
                      rule->advice.empty() ? text : absl::StrFormat("%s. %s", text, rule->advice));
}

std::string ExplainLog(std::string_view lines) {
  const SlurmFailureRule* const rule = SlurmRuleFor(lines);
  if (rule == nullptr || rule->advice.empty()) return "";
  for (const absl::string_view line : absl::StrSplit(base::ToAbsl(lines), '\n')) {
    if (base::AsciiLower(base::ToStd(line)).find(rule->text) == std::string::npos) continue;
    return absl::StrFormat("%s. %s", OneLine(base::ToStd(line)), rule->advice);
  }
  return std::string(rule->advice);
}

const std::vector<SlurmReasonRule>& SlurmReasonRules() {
  constexpr std::string_view kQuota =
      "a quota is used up; it starts when earlier jobs of the user or the account end";
  constexpr std::string_view kHeld =
      "it does not start by itself: scontrol release lets it go, or stop it and start it again";
  constexpr std::string_view kNever =
      "it can never start so: stop it, and ask for less (--time, --gpu-count, --cpus) or for "
      "another --partition";
  static const auto* const rules = new std::vector<SlurmReasonRule>{
      {"Resources", "waiting for nodes to become free"},
      {"Priority", "other jobs come first"},
      {"QOSMax", kQuota},
      {"QOSGrp", kQuota},
      {"AssocGrp", kQuota},
      {"AssocMax", kQuota},
      {"MaxJobs", kQuota},
      {"PartitionTimeLimit", kNever},
      {"PartitionNodeLimit", kNever},
      {"PartitionConfig", kNever},
      {"BadConstraints", kNever},
      {"PartitionDown", "the partition is down: wait, or choose another --partition"},
      {"PartitionInactive", "the partition is inactive: wait, or choose another --partition"},
      {"ReqNodeNotAvail", "its nodes are down or reserved, for maintenance as a rule"},
      {"Reservation", "its nodes are reserved until later"},
      {"JobHeld", kHeld},
      {"launch failed requeued held", kHeld},
      {"BeginTime", "it is to begin later"},
      {"Dependency", "it waits for another job"},
      {"Licenses", "it waits for a licence"},
      {"None", "the scheduler has not looked at it yet"},
  };
  return *rules;
}

}  // namespace tao::platforms
