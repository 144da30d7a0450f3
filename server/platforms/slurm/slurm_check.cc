// SlurmPlatform's check: what a start needs of the cluster, asked in one login.

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <absl/time/clock.h>
#include <unistd.h>

#include <algorithm>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/preflight.h"
#include "server/platforms/slurm/slurm_platform.h"
#include "server/platforms/slurm/slurm_render.h"

namespace tao::platforms {
namespace {

using Outcome = CheckItem::Outcome;

constexpr std::string_view kCredentialsAdvice =
    "put a line for machine nvcr.io and one for machine authn.nvidia.com (login $oauthtoken, the "
    "NGC key as password) into ~/.config/enroot/.credentials on the cluster, chmod 600";

// ssh passes over a file that is not there, and says only that it was refused.
absl::Status CheckKeyFile(const std::string& file) {
  // A tilde is ssh's to read.
  if (file.empty() || file.front() == '~' || access(file.c_str(), R_OK) == 0) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrFormat("SSH_KEY_PATH is %s, and the server's user can read no such file. Correct it "
                      "in the server's environment, and restart the server",
                      base::Quoted(file)));
}

std::string Words(const SlurmSection& section) {
  std::string text(absl::StripAsciiWhitespace(section.text));
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

CheckItem Ok(std::string_view name, std::string message) {
  return {std::string(name), Outcome::kOk, std::move(message)};
}
CheckItem Warning(std::string_view name, std::string message) {
  return {std::string(name), Outcome::kWarning, std::move(message)};
}
CheckItem Missing(std::string_view name, std::string message) {
  return {std::string(name), Outcome::kMissing, std::move(message)};
}
CheckItem Unknown(std::string_view name, std::string message) {
  return {std::string(name), Outcome::kUnknown, std::move(message)};
}

CheckItem ToolsItem(const SlurmSection& tools) {
  std::vector<std::string> missing;
  bool accounting = true;
  for (const absl::string_view tool : absl::StrSplit(tools.text, '\n', absl::SkipWhitespace())) {
    if (tool == "no-sacct") {
      accounting = false;
    } else {
      missing.emplace_back(tool);
    }
  }
  if (!missing.empty()) {
    return Missing("tools",
                   absl::StrFormat("%s cannot be found on the login host: SLURM_HOSTNAME must name "
                                   "a host where sbatch works "
                                   "in a non-interactive shell (ssh HOST command -v sbatch)",
                                   base::JoinedList(missing)));
  }
  if (!accounting) {
    return Warning("tools", "sacct is missing: how a job ended is known for a few minutes only");
  }
  return Ok("tools", "sbatch, squeue, scancel, srun and sacct are there");
}

CheckItem PyxisItem(const SlurmSection& pyxis) {
  if (pyxis.exit_code == 0) return Ok("pyxis", "srun knows --container-image");
  return Missing("pyxis",
                 std::string(SlurmRuleFor("unrecognized option '--container-image")->advice));
}

CheckItem EnrootItem(const SlurmSection& enroot) {
  if (enroot.exit_code == 0) return Ok("enroot", Words(enroot));
  return Warning("enroot",
                 "enroot is not on the login host, where it need not be: only the compute nodes "
                 "must have it");
}

CheckItem PartitionItem(const CheckRequest& request, const SlurmSettings& settings,
                        const SlurmSection& section) {
  const std::string what = absl::StrFormat("partition %s", base::Quoted(settings.partition));
  if (section.exit_code != 0) {
    return ItemOf("partition",
                  SlurmError(what + " could not be asked about", section.exit_code, section.text),
                  "");
  }
  const std::vector<SlurmPartition> rows = ParsePartitions(section.text);
  if (rows.empty()) {
    return Missing("partition", absl::StrFormat("the cluster has no %s. %s", what,
                                                SlurmRuleFor("invalid partition name")->advice));
  }
  bool up = false;
  int most = 0;
  absl::Duration longest;
  std::vector<std::string> types;
  for (const SlurmPartition& row : rows) {
    up |= row.available == "up";
    longest = std::max(longest, row.time_limit);
    for (const auto& [type, count] : row.gpus) {
      if (!type.empty()) types.push_back(type);
      if (!settings.gpu_type.empty() && type != settings.gpu_type) continue;
      most = std::max(most, count);
    }
  }
  if (!up) {
    return Missing("partition", absl::StrFormat("%s is %s, not up. Choose another one: sinfo -s",
                                                what, base::Quoted(rows.front().available)));
  }
  // Many clusters take such a job, and let it wait for ever.
  if (settings.time > longest) {
    return Missing(
        "partition",
        absl::StrFormat("%s lets a job run for %s at most, and %s is asked for. %s", what,
                        absl::FormatDuration(longest), absl::FormatDuration(settings.time),
                        SlurmRuleFor("requested time limit is invalid")->advice));
  }
  std::sort(types.begin(), types.end());
  types.erase(std::unique(types.begin(), types.end()), types.end());
  if (request.gpus.mode != launch::GpuMode::kNone && most < request.gpus.count) {
    return Missing(
        "partition",
        absl::StrFormat("%s has nodes of at most %d GPUs%s, and %d are asked for%s. %s", what, most,
                        settings.gpu_type.empty() ? "" : " of type " + settings.gpu_type,
                        request.gpus.count,
                        types.empty() ? "" : " (types there: " + absl::StrJoin(types, ", ") + ")",
                        SlurmRuleFor("requested node configuration is not available")->advice));
  }
  return Ok("partition", absl::StrFormat("%s is up, with up to %d GPUs a node", what, most));
}

CheckItem AccountItem(const SlurmSettings& settings, const SlurmSection& section) {
  std::vector<std::string> accounts =
      absl::StrSplit(section.text, absl::ByAnyChar("\r\n"), absl::SkipWhitespace());
  if (section.exit_code != 0 || accounts.empty()) {
    return Ok("account", settings.account.empty()
                             ? "none is given, and the cluster lists none"
                             : settings.account + " is given; the cluster lists none");
  }
  if (settings.account.empty()) {
    return Ok("account", "none is given: the cluster's default for you is used, of " +
                             base::JoinedList(accounts));
  }
  if (std::find(accounts.begin(), accounts.end(), base::AsciiLower(settings.account)) !=
      accounts.end()) {
    return Ok("account", settings.account + " is one of yours");
  }
  return Missing("account",
                 absl::StrFormat("account %s is none of yours, which are %s. Correct "
                                 "--platform-option account=NAME, or SLURM_ACCOUNT",
                                 base::Quoted(settings.account), base::JoinedList(accounts)));
}

CheckItem CredentialsItem(std::string_view image, const SlurmSection& section) {
  const std::string lacking = Words(section);
  if (section.exit_code == 0 && lacking.empty()) {
    return Ok("credentials", "enroot has registry credentials");
  }
  if (section.exit_code == 0) {
    return Warning("credentials",
                   absl::StrFormat("enroot has no registry credentials for %s there: %s", lacking,
                                   kCredentialsAdvice));
  }
  if (image.empty()) {
    return Warning("credentials",
                   absl::StrFormat(
                       "enroot has no registry credentials there, which images of nvcr.io need: %s",
                       kCredentialsAdvice));
  }
  return Missing(
      "credentials",
      absl::StrFormat(
          "image %s needs registry credentials, and enroot has none on the cluster: %s. The server "
          "never writes that file",
          base::Quoted(image), kCredentialsAdvice));
}

CheckItem RecordingItem(const SlurmSection& section) {
  const std::string flags = base::AsciiLower(section.text);
  if (absl::StrContains(flags, "job_env")) {
    return Warning("recording",
                   "the cluster's accounting stores the environment of each job "
                   "(AccountingStoreFlags has job_env), tokens like HF_TOKEN included, and sacct "
                   "--env-vars prints it: ask its administrators, or start without such tokens");
  }
  if (absl::StrContains(flags, "job_script")) {
    return Ok("recording", "the accounting stores scripts, in which there is no secret");
  }
  return Ok("recording", "the accounting stores no environment");
}

CheckItem StorageItem(const SlurmSections& sections, const std::string& output_dir,
                      const std::vector<std::string>& sources, const std::string& image_file) {
  std::vector<std::string> wrong;
  const auto fails = [&sections](const std::string& name) {
    const auto found = sections.find(name);
    return found != sections.end() && found->second.exit_code != 0;
  };
  if (!output_dir.empty() && fails("writable " + output_dir)) {
    wrong.push_back(
        absl::StrFormat("%s is no folder that you can write to (--output-dir, "
                        "SLURM_BASE_RESULTS_DIR)",
                        base::Quoted(output_dir)));
  }
  for (const std::string& source : sources) {
    if (!fails("readable " + source)) continue;
    wrong.push_back(absl::StrFormat("mount source %s is not there, or you cannot read it",
                                    base::Quoted(source)));
  }
  if (!image_file.empty() && fails("readable " + image_file)) {
    wrong.push_back(absl::StrFormat(
        "--container-image %s is not there, or you cannot read it (enroot import makes it)",
        base::Quoted(image_file)));
  }
  if (wrong.empty()) return Ok("storage", "the folders are there");
  return Missing("storage", absl::StrFormat("on the login host, %s. It must be on the cluster's "
                                            "shared storage",
                                            absl::StrJoin(wrong, "; ")));
}

}  // namespace

CheckItem SlurmPlatform::ForwardingItem(const SlurmLogin& login, absl::Duration timeout) const {
  const io::SshTarget target = cluster_.Target(login);
  io::SubprocessOptions options;
  // To a port where nothing listens: what counts is who refuses.
  options.argv = io::SshArgv(
      target, {"-o", "ControlMaster=no", "-o", "ControlPath=none", "-W", "127.0.0.1:1"});
  options.unset_env = cluster_.config().secret_names;
  options.timeout = timeout;
  const absl::StatusOr<io::SubprocessResult> tried = io::RunSubprocess(options);
  if (!tried.ok()) return ItemOf("forwarding", tried.status(), "");
  if (io::SshFailureOf(tried->err) == io::SshFailure::kForwardingRefused) {
    return ItemOf("forwarding", io::SshError(target, tried->err), "");
  }
  return Ok("forwarding", io::ToString(target) + " forwards connections");
}

CheckItem SlurmPlatform::DryRunItem(const CheckRequest& request, const SlurmSettings& settings,
                                    absl::Duration timeout) const {
  std::string input = "\n";  // no secret is needed for it
  if (request.plan != nullptr) {
    input += RenderScript(*request.plan, settings,
                          {.daemon_id = cluster_.config().daemon_id,
                           .node_port = NodePort(*request.plan, 0),
                           .secret_names = {}});
  } else {
    input += RenderProbeScript(settings, request.gpus);
  }
  const absl::StatusOr<io::SubprocessResult> tried =
      cluster_.Run({.command = RenderSubmit(settings, /*test_only=*/true),
                    .stdin_text = input,
                    .timeout = timeout,
                    .cancel = nullptr,
                    .on_line = {}});
  if (!tried.ok()) return ItemOf("dry-run", tried.status(), "");
  if (tried->exit_code != 0) {
    return ItemOf("dry-run",
                  SlurmError("the cluster would refuse the job", tried->exit_code, tried->err), "");
  }
  return Ok("dry-run", Words({.text = tried->err}));  // "sbatch: Job 12 to start at ..."
}

std::vector<CheckItem> SlurmPlatform::CheckCluster(const CheckRequest& request,
                                                   const SlurmSettings& settings,
                                                   absl::Time end) const {
  const auto left = [end] { return std::max(end - absl::Now(), absl::Milliseconds(1)); };
  std::vector<std::string> sources = MountSources(settings.container_mounts);
  if (request.plan != nullptr) {
    for (const launch::Mount& mount : request.plan->mounts) sources.push_back(mount.source);
  }
  std::string image = settings.container_image;
  if (image.empty() && request.plan != nullptr) image = request.plan->image;
  std::vector<std::string> folders = sources;
  if (!settings.output_dir.empty()) folders.push_back(settings.output_dir);
  const std::string image_file = image.starts_with('/') ? image : "";
  if (!image_file.empty()) folders.push_back(image_file);

  std::vector<CheckItem> items;
  const absl::StatusOr<SlurmSections> asked =
      cluster_.Ask(RenderCheck(settings, folders), left(), nullptr);
  const auto login = ReadLogin(cluster_.config().environment);
  if (!asked.ok()) return {ItemOf("login", asked.status(), "")};
  items.push_back(Ok("login", io::ToString(cluster_.Target(*login)) + " lets us in"));
  const auto add = [&](std::string_view name, const auto& item_of) {
    const auto found = asked->find(name);
    items.push_back(found == asked->end()
                        ? Unknown(name, "the login host's answer broke off before it")
                        : item_of(found->second));
    return items.back().outcome != Outcome::kMissing && items.back().outcome != Outcome::kUnknown;
  };
  if (!add("tools", ToolsItem)) return items;
  add("pyxis", PyxisItem);
  add("enroot", EnrootItem);
  const bool controller = add("controller", [](const SlurmSection& section) {
    if (section.exit_code == 0) return Ok("controller", Words(section));
    return Unknown("controller",
                   "Slurm's controller does not answer (scontrol ping): try again, or ask the "
                   "cluster's administrators");
  });
  if (image.empty() || image.starts_with("nvcr.io")) {
    add("credentials",
        [&](const SlurmSection& section) { return CredentialsItem(image, section); });
  }
  items.push_back(StorageItem(*asked, settings.output_dir, sources, image_file));
  if (!controller) return items;
  add("recording", RecordingItem);
  if (!add("partition", [&](const SlurmSection& section) {
        return PartitionItem(request, settings, section);
      })) {
    return items;
  }
  if (!add("account",
           [&](const SlurmSection& section) { return AccountItem(settings, section); })) {
    return items;
  }
  items.push_back(ForwardingItem(*login, left()));
  items.push_back(DryRunItem(request, settings, left()));
  return items;
}

std::vector<CheckItem> SlurmPlatform::Check(const CheckRequest& request, absl::Duration deadline) {
  const absl::Time end = absl::Now() + deadline;
  std::vector<CheckItem> items;
  const absl::StatusOr<SlurmLogin> login = ReadLogin(cluster_.config().environment);
  const absl::StatusOr<SlurmSettings> settings =
      ReadSettings(request.options, cluster_.config().environment);
  const absl::Status set = login.ok() ? CheckKeyFile(login->key_file) : login.status();
  items.push_back(ItemOf("environment", set, "SLURM_USER and SLURM_HOSTNAME are set"));
  items.push_back(ItemOf("settings", settings.status(),
                         settings.ok() ? "partition " + settings->partition : ""));
  if (const auto gpus = GpuIds(request.gpus); !gpus.ok()) {
    items.push_back(ItemOf("gpu", gpus.status(), ""));
  }
  if (!set.ok() || !settings.ok()) return items;
  for (CheckItem& item : CheckCluster(request, *settings, end)) items.push_back(std::move(item));
  return items;
}

}  // namespace tao::platforms
