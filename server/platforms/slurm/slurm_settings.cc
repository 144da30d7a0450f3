#include "server/platforms/slurm/slurm_settings.h"

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include <cmath>

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tao::platforms {
namespace {

// One setting: how a caller gives it, how the operator does, and who can read it. Returns what is
// wrong with the value; empty: nothing.
struct Setting {
  PlatformOption option;
  std::string_view variable;  // empty: none
  std::string (*read)(const std::string& value, SlurmSettings& settings);
};

bool IsWord(std::string_view text, std::string_view others) {
  if (text.empty() || text.front() == '-') return false;
  for (const char c : text) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) &&
        others.find(c) == std::string_view::npos) {
      return false;
    }
  }
  return true;
}

// Paths go into #SBATCH lines and srun options, where blanks, commas, colons, '%' and '#' mean
// something.
bool IsPlainPath(std::string_view path) {
  return path.starts_with('/') && IsWord(path, "/._-+=@~") && path.find("//") == path.npos;
}

std::string Not(const std::string& value, std::string_view expected) {
  return absl::StrFormat("is %s, and must be %s", base::Quoted(value), expected);
}

std::string ReadWord(const std::string& value, std::string_view others, std::string_view expected,
                     std::string& field) {
  if (!IsWord(value, others)) return Not(value, expected);
  field = value;
  return "";
}

std::string ReadYesNo(const std::string& value, bool& field) {
  // A flag without a value comes as "true".
  const bool yes = value == "yes" || value == "true";
  if (!yes && value != "no" && value != "false") return Not(value, "yes or no");
  field = yes;
  return "";
}

std::string ReadPartition(const std::string& value, SlurmSettings& settings) {
  return ReadWord(value, "_.,-", "a partition's name, or several with commas between them",
                  settings.partition);
}

std::string ReadAccount(const std::string& value, SlurmSettings& settings) {
  return ReadWord(value, "_.@+-", "an account's name", settings.account);
}

std::string ReadQos(const std::string& value, SlurmSettings& settings) {
  return ReadWord(value, "_.-", "the name of a quality of service", settings.qos);
}

std::string ReadTime(const std::string& value, SlurmSettings& settings) {
  constexpr double kYear = 366 * 24;
  double hours = 0;
  if (!absl::SimpleAtod(value, &hours) || !std::isfinite(hours) || hours < 1.0 / 60 ||
      hours > kYear) {
    return Not(value, "a number of hours, such as 4 or 0.5, of a year at most");
  }
  settings.time = absl::Minutes(std::ceil(hours * 60));
  return "";
}

std::string ReadGpuType(const std::string& value, SlurmSettings& settings) {
  return ReadWord(value, "_.-", "a GPU type as sinfo -o %G shows it, such as a100",
                  settings.gpu_type);
}

std::string ReadCpus(const std::string& value, SlurmSettings& settings) {
  int cpus = 0;
  if (!absl::SimpleAtoi(value, &cpus) || cpus < 1 || cpus > 4096) {
    return Not(value, "a number of CPUs from 1 to 4096");
  }
  settings.cpus = cpus;
  return "";
}

std::string ReadMem(const std::string& value, SlurmSettings& settings) {
  const size_t digits = value.find_first_not_of("0123456789");
  const std::string_view unit =
      digits == std::string::npos ? "" : std::string_view(value).substr(digits);
  const bool known = unit.empty() || (unit.size() == 1 && unit.find_first_of("KMGT") == 0);
  if (value.empty() || digits == 0 || !known) {
    return Not(value, "an amount of memory, such as 64G (without a unit: MiB)");
  }
  settings.mem = value;
  return "";
}

std::string ReadExclusive(const std::string& value, SlurmSettings& settings) {
  settings.exclusive.reset();
  if (value == "auto") return "";
  bool exclusive = false;
  if (!ReadYesNo(value, exclusive).empty()) return Not(value, "auto, yes or no");
  settings.exclusive = exclusive;
  return "";
}

std::string ReadImage(const std::string& value, SlurmSettings& settings) {
  // A file or what enroot calls an image: REGISTRY#IMAGE:TAG.
  if (!IsWord(value, "/._-+=@:#")) {
    return Not(value, "the path of a .sqsh file on the cluster, or REGISTRY#IMAGE:TAG");
  }
  settings.container_image = value;
  return "";
}

std::string ReadWritable(const std::string& value, SlurmSettings& settings) {
  return ReadYesNo(value, settings.container_writable);
}

std::string ReadMounts(const std::string& value, SlurmSettings& settings) {
  for (const absl::string_view each : absl::StrSplit(value, ',')) {
    const std::vector<std::string> parts = absl::StrSplit(each, ':');
    const bool flags = parts.size() < 3 || IsWord(parts[2], "+-_");
    if (parts.size() < 2 || parts.size() > 3 || !IsPlainPath(parts[0]) || !IsPlainPath(parts[1]) ||
        !flags) {
      return Not(value,
                 "SRC:DST or SRC:DST:ro, with commas between several; paths are absolute, without "
                 "blanks and signs that a shell reads");
    }
  }
  settings.container_mounts = value;
  return "";
}

std::string ReadOutputDir(const std::string& value, SlurmSettings& settings) {
  if (!IsPlainPath(value)) {
    return Not(value,
               "an absolute path of the cluster, without blanks and signs that a shell reads");
  }
  settings.output_dir = value;
  return "";
}

constexpr Setting kSettings[] = {
    {{"partition", "where the job runs; or SLURM_PARTITION of the server. Required"},
     "SLURM_PARTITION",
     ReadPartition},
    {{"account", "who pays; or SLURM_ACCOUNT of the server. Default: the user's own"},
     "SLURM_ACCOUNT",
     ReadAccount},
    {{"qos", "quality of service. Default: the account's"}, "", ReadQos},
    {{"time", "hours until Slurm ends the job; or SLURM_TIME_HOURS of the server. Default 4"},
     "SLURM_TIME_HOURS",
     ReadTime},
    {{"gpu-type", "type of the GPUs, as sinfo -o %G shows it. Default: any"}, "", ReadGpuType},
    {{"cpus", "CPUs of the job. Default 16"}, "", ReadCpus},
    {{"mem", "memory of the job, such as 64G. Default: the cluster's"}, "", ReadMem},
    {{"exclusive",
      "auto, yes or no: the whole node for this job. Default auto: where the arch's port cannot be "
      "chosen"},
     "",
     ReadExclusive},
    {{"container-image",
      "a .sqsh file on the cluster (starts faster), or REGISTRY#IMAGE:TAG. Default: the arch's "
      "image"},
     "",
     ReadImage},
    {{"container-mounts",
      "SRC:DST[:ro],... of the cluster; or SLURM_CONTAINER_MOUNTS of the server. --mount adds to "
      "it"},
     "SLURM_CONTAINER_MOUNTS",
     ReadMounts},
    {{"container-writable", "yes or no: the container may write to its own files. Default yes"},
     "",
     ReadWritable},
    {{"output-dir",
      "folder of the cluster's shared storage for the job's log; or SLURM_BASE_RESULTS_DIR of the "
      "server. Default: tao-inference-logs in the home folder"},
     "SLURM_BASE_RESULTS_DIR",
     ReadOutputDir},
};

std::vector<base::FieldViolation> ReadOptions(const std::map<std::string, std::string>& options,
                                              SlurmSettings& settings) {
  std::vector<base::FieldViolation> violations;
  for (const Setting& setting : kSettings) {
    const auto given = options.find(std::string(setting.option.name));
    if (given == options.end()) continue;
    const std::string wrong = setting.read(given->second, settings);
    if (!wrong.empty()) {
      violations.push_back({absl::StrFormat("platform_options.%s", setting.option.name), wrong});
    }
  }
  return violations;
}

absl::Status ToStatus(const std::vector<base::FieldViolation>& violations) {
  if (violations.empty()) return absl::OkStatus();
  std::string message;
  for (const base::FieldViolation& each : violations) {
    message +=
        absl::StrFormat("%s%s %s", message.empty() ? "" : "; ", each.field, each.description);
  }
  return base::WithDetails(absl::InvalidArgumentError(message), {.violations = violations});
}

std::string Trimmed(const std::optional<std::string>& value) {
  return value.has_value() ? std::string(absl::StripAsciiWhitespace(*value)) : "";
}

}  // namespace

std::span<const PlatformOption> SlurmOptions() {
  static const auto* const options = [] {
    auto* const all = new std::vector<PlatformOption>;
    for (const Setting& setting : kSettings) all->push_back(setting.option);
    return all;
  }();
  return *options;
}

absl::StatusOr<SlurmLogin> ReadLogin(const catalog::EnvironmentLookup& environment) {
  SlurmLogin login = {.user = Trimmed(environment("SLURM_USER")),
                      .hosts = {},
                      .key_file = Trimmed(environment("SSH_KEY_PATH")),
                      .ssh_config = Trimmed(environment("SLURM_SSH_CONFIG"))};
  const std::string hosts = Trimmed(environment("SLURM_HOSTNAME"));
  for (const absl::string_view host : absl::StrSplit(hosts, ',', absl::SkipWhitespace())) {
    login.hosts.emplace_back(absl::StripAsciiWhitespace(host));
  }
  std::vector<std::string> missing;
  if (login.user.empty()) missing.emplace_back("SLURM_USER (your user name on the cluster)");
  if (login.hosts.empty()) {
    missing.emplace_back("SLURM_HOSTNAME (its login hosts, with commas between them)");
  }
  if (missing.empty()) return login;
  return absl::FailedPreconditionError(
      absl::StrFormat("platform slurm needs %s in the server's environment: export it, and restart "
                      "the server",
                      base::JoinedList(missing)));
}

absl::Status CheckSlurmOptions(const std::map<std::string, std::string>& options) {
  SlurmSettings settings;
  return ToStatus(ReadOptions(options, settings));
}

absl::StatusOr<SlurmSettings> ReadSettings(const std::map<std::string, std::string>& options,
                                           const catalog::EnvironmentLookup& environment) {
  SlurmSettings settings;
  for (const Setting& setting : kSettings) {
    if (setting.variable.empty() || options.contains(std::string(setting.option.name))) continue;
    const std::string value = Trimmed(environment(std::string(setting.variable)));
    if (value.empty()) continue;
    const std::string wrong = setting.read(value, settings);
    if (wrong.empty()) continue;
    return absl::FailedPreconditionError(
        absl::StrFormat("%s of the server's environment %s. Correct it and restart the server, or "
                        "give --platform-option %s=VALUE",
                        setting.variable, wrong, setting.option.name));
  }
  RETURN_IF_ERROR(ToStatus(ReadOptions(options, settings)));
  if (settings.partition.empty()) {
    return absl::FailedPreconditionError(
        "platform slurm needs a partition: give --partition NAME (platform_options.partition), or "
        "set SLURM_PARTITION in the server's environment. sinfo -s on a login host lists them");
  }
  return settings;
}

std::vector<std::string> MountSources(std::string_view container_mounts) {
  std::vector<std::string> sources;
  for (const absl::string_view each :
       absl::StrSplit(base::ToAbsl(container_mounts), ',', absl::SkipEmpty())) {
    sources.emplace_back(each.substr(0, each.find(':')));
  }
  return sources;
}

}  // namespace tao::platforms
