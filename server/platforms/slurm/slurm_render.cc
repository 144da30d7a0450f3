#include "server/platforms/slurm/slurm_render.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include <cctype>

#include "server/base/shell_quote.h"
#include "server/base/strings.h"

namespace tao::platforms {
namespace {

constexpr int kFixedPort = 8080;  // of an arch whose port cannot be chosen
constexpr int kFirstNodePort = 20000;
constexpr int kNodePorts = 12000;  // below the ports that Linux gives out itself (32768)
constexpr int kAttemptStride = 4801;
constexpr std::string_view kLastLine = "# end of the tao-inference job";
constexpr std::string_view kStatusFormat = "%T|%B|%N|%r|%S";

std::string Clusters(std::string_view cluster) {
  return cluster.empty() ? "" : absl::StrFormat(" --clusters=%s", base::ShellQuote(cluster));
}

std::string Section(std::string_view name, std::string_view command) {
  return absl::StrFormat("echo @@%s; { %s\n} 2>&1; printf '\\n@@rc %%d\\n' $?\n", name, command);
}

std::string GpuDirective(const SlurmSettings& settings, const launch::GpuRequest& gpus) {
  if (gpus.mode == launch::GpuMode::kNone) return "";
  return absl::StrFormat("#SBATCH --gres=gpu:%s%d\n",
                         settings.gpu_type.empty() ? "" : settings.gpu_type + ":", gpus.count);
}

std::string TimeOf(absl::Duration time) {
  const int64_t minutes = absl::ToInt64Minutes(time);
  return absl::StrFormat("%02d:%02d:00", minutes / 60, minutes % 60);
}

std::string Directives(const SlurmSettings& settings, const launch::GpuRequest& gpus,
                       bool exclusive) {
  std::string text =
      "#SBATCH --nodes=1\n"
      "#SBATCH --ntasks-per-node=1\n";
  const auto add = [&text](std::string_view name, std::string_view value) {
    if (!value.empty()) absl::StrAppendFormat(&text, "#SBATCH --%s=%s\n", name, value);
  };
  text += GpuDirective(settings, gpus);
  add("cpus-per-task", std::to_string(settings.cpus));
  add("mem", settings.mem);
  add("time", TimeOf(settings.time));
  add("partition", settings.partition);
  add("account", settings.account);
  add("qos", settings.qos);
  if (exclusive) text += "#SBATCH --exclusive\n";
  // A requeue would keep the id and move the endpoint.
  text += "#SBATCH --no-requeue\n";
  return text;
}

// Ends the shell when something listens on `port`, without connecting to it: whose it is, is not
// known. Bash alone, as the container may have nothing else.
std::string PortTest(int port) {
  return absl::StrFormat(
      "for sockets in /proc/net/tcp /proc/net/tcp6; do\n"
      "  [ -r \"$sockets\" ] || continue\n"
      "  while read -r _ address _ state _; do\n"
      "    if [ \"$state\" = 0A ] && [ \"${address##*:}\" = %04X ]; then\n"
      "      echo \"tao-inference: port %d of node $SLURMD_NODENAME is taken by another program\"\n"
      "      exit %d\n"
      "    fi\n"
      "  done < \"$sockets\"\n"
      "done\n",
      port, port, kPortTakenExit);
}

std::string MountsOf(const launch::LaunchPlan& plan, const SlurmSettings& settings) {
  std::vector<std::string> mounts;
  if (!settings.container_mounts.empty()) mounts.push_back(settings.container_mounts);
  for (const launch::Mount& mount : plan.mounts) {
    mounts.push_back(
        absl::StrCat(mount.source, ":", mount.destination, mount.read_only ? ":ro" : ""));
  }
  return absl::StrJoin(mounts, ",");
}

std::vector<std::string> SrunWords(const launch::LaunchPlan& plan, const SlurmSettings& settings,
                                   const SlurmJobContext& context) {
  std::vector<std::string> words = {"srun", "--ntasks=1",
                                    // Since 22.05 a step does not take it from the job.
                                    absl::StrFormat("--cpus-per-task=%d", settings.cpus)};
  const std::string& image =
      settings.container_image.empty() ? plan.image : settings.container_image;
  words.push_back("--container-image=" + EnrootImage(image));
  const std::string mounts = MountsOf(plan, settings);
  if (!mounts.empty()) words.push_back("--container-mounts=" + mounts);
  words.insert(words.end(), {"--no-container-mount-home", "--no-container-entrypoint"});
  words.push_back(settings.container_writable ? "--container-writable" : "--container-readonly");
  // A variable that the image sets keeps its value unless it is named.
  std::vector<std::string> names;
  for (const auto& [name, value] : plan.env) names.push_back(name);
  names.insert(names.end(), context.secret_names.begin(), context.secret_names.end());
  if (!names.empty()) words.push_back("--container-env=" + absl::StrJoin(names, ","));
  words.insert(words.end(), {"bash", "-c"});
  const int port = context.node_port;
  // Again, since fetching the image may have taken long.
  words.push_back(absl::StrFormat("%secho \"tao-inference: port %d is the service's\"\n%s",
                                  PortTest(port), port, plan.inner_command.Render(port)));
  return words;
}

std::string Finish(std::string script) {
  absl::StrAppend(&script, base::ToAbsl(kLastLine), "\n");
  return script;
}

}  // namespace

std::string JobName(std::string_view job_id) { return absl::StrFormat("tao-%s", job_id); }

std::string DaemonComment(std::string_view daemon_id) {
  return absl::StrFormat("tao-daemon=%s", daemon_id);
}

std::string LogFolder(const SlurmSettings& settings) {
  return settings.output_dir.empty() ? std::string(kDefaultLogFolder) : settings.output_dir;
}

std::string LogPath(const SlurmSettings& settings, std::string_view job_id,
                    std::string_view slurm_id) {
  return absl::StrFormat("%s/%s-%s.log", LogFolder(settings), JobName(job_id), slurm_id);
}

int NodePort(const launch::LaunchPlan& plan, int attempt) {
  if (!plan.inner_command.has_port()) return kFixedPort;
  uint32_t hash = 2166136261U;  // FNV-1a: the same in every daemon
  for (const char c : plan.job_id) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return kFirstNodePort +
         static_cast<int>((hash % kNodePorts + static_cast<uint32_t>(attempt) * kAttemptStride) %
                          kNodePorts);
}

std::string EnrootImage(std::string_view image) {
  const size_t slash = image.find('/');
  if (slash == 0 || slash == std::string_view::npos || image.starts_with("./") ||
      image.find('#') != std::string_view::npos) {
    return std::string(image);
  }
  const std::string_view first = image.substr(0, slash);
  const bool registry = first.find_first_of(".:") != std::string_view::npos || first == "localhost";
  if (!registry) return std::string(image);
  return absl::StrFormat("%s#%s", first, image.substr(slash + 1));
}

std::string RenderScript(const launch::LaunchPlan& plan, const SlurmSettings& settings,
                         const SlurmJobContext& context) {
  const bool exclusive = settings.exclusive.value_or(!plan.inner_command.has_port());
  std::string script = absl::StrFormat(
      "#!/bin/bash\n"
      "#SBATCH --job-name=%s\n"
      "#SBATCH --comment=%s\n",
      JobName(plan.job_id), DaemonComment(context.daemon_id));
  script += Directives(settings, plan.gpus, exclusive);
  absl::StrAppendFormat(&script,
                        "#SBATCH --output=%s\n"
                        "#SBATCH --open-mode=append\n",
                        LogPath(settings, plan.job_id, "%j"));
  script += PortTest(context.node_port);
  absl::StrAppendFormat(&script,
                        "echo \"tao-inference: port %d of node $SLURMD_NODENAME is free\"\n",
                        context.node_port);
  // Without the capabilities CUDA does not work; "void" is no GPU, where an empty value may be all.
  script += plan.gpus.mode == launch::GpuMode::kNone
                ? "export NVIDIA_VISIBLE_DEVICES=void\n"
                : "export NVIDIA_VISIBLE_DEVICES=all "
                  "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video\n";
  for (const auto& [name, value] : plan.env) {
    absl::StrAppendFormat(&script, "export %s=%s\n", name, base::ShellQuote(value));
  }
  std::vector<std::string> words = SrunWords(plan, settings, context);
  for (std::string& word : words) word = base::ShellQuote(word);
  absl::StrAppend(&script, "exec ", absl::StrJoin(words, " "), "\n");
  return Finish(std::move(script));
}

std::string RenderProbeScript(const SlurmSettings& settings, const launch::GpuRequest& gpus) {
  const std::string script = "#!/bin/bash\n#SBATCH --job-name=tao-check\n" +
                             Directives(settings, gpus, settings.exclusive.value_or(false)) +
                             "true\n";
  return Finish(script);
}

std::string RenderSubmit(const SlurmSettings& settings, bool test_only) {
  // The default folder is ours to make; one that was named must be there.
  const bool make = settings.output_dir.empty() && !test_only;
  return absl::StrFormat(
      "umask 077\n"
      "%s"
      "while IFS= read -r line && [ -n \"$line\" ]; do export \"$line\"; done\n"
      "script=$(cat)\n"
      "case \"$script\" in\n"
      "  *%s) ;;\n"
      "  *) echo 'the script did not arrive whole' >&2; exit %d ;;\n"
      "esac\n"
      "printf '%%s\\n' \"$script\" | sbatch --export=ALL %s",
      make ? absl::StrFormat("mkdir -p -- %s || exit 1\n", base::ShellQuote(LogFolder(settings)))
           : "",
      base::ShellQuote(kLastLine), kTornInputExit, test_only ? "--test-only" : "--parsable");
}

std::string RenderStatus(const SlurmJobRef& job) {
  const std::string queue =
      absl::StrFormat("squeue%s --jobs=%s --noheader --states=all --format='%s'",
                      Clusters(job.cluster), job.id, kStatusFormat);
  const std::string detail =
      absl::StrFormat("scontrol%s show job --oneliner %s | tr ' ' '\\n' | grep '^ExitCode='",
                      Clusters(job.cluster), job.id);
  const std::string accounting = absl::StrFormat(
      "sacct%s --jobs=%s --allocations --noheader --parsable2 "
      "--format=JobID,State,ExitCode,NodeList,Reason",
      Clusters(job.cluster), job.id);
  // The others only where squeue does not tell it all: each costs the cluster a question.
  return absl::StrFormat(
      "found=$(%s 2>&1); code=$?\n"
      "echo @@squeue; printf '%%s\\n@@rc %%d\\n' \"$found\" $code\n"
      "case \"$found\" in *PENDING\\|* | *RUNNING\\|* | *COMPLETING\\|*) ;; *)\n"
      "%s%s;; esac\n",
      queue, Section("detail", detail), Section("sacct", accounting));
}

std::string RenderWatch(const SlurmJobRef& job, const SlurmSettings& settings,
                        std::string_view log_path) {
  const std::string queue = absl::StrFormat(
      "squeue%s --noheader --states=PENDING --partition=%s --sort=-p,i --format=%%i | "
      "awk -v id=%s '{ n++ } $1 == id { at = n } END { print at + 0, n + 0 }'",
      Clusters(job.cluster), base::ShellQuote(settings.partition), job.id);
  const std::string log = base::ShellQuote(log_path);
  return RenderStatus(job) +
         absl::StrFormat(
             "case \"$found\" in *PENDING\\|*)\n%s;; *)\n%s;; esac\n", Section("queue", queue),
             Section("marks", absl::StrFormat("grep -a '^tao-inference: ' -- %s", log)) +
                 absl::StrFormat("case \"$found\" in *RUNNING\\|*) ;; *)\n%s;; esac\n",
                                 Section("tail", absl::StrFormat("tail -n 50 -- %s", log))));
}

std::string RenderFind(std::string_view name, std::string_view cluster, bool ended) {
  std::string command =
      Section("squeue", absl::StrFormat("squeue%s --me --name=%s --noheader --states=all "
                                        "--format='%%i|%%j|%%T|%%k'",
                                        Clusters(cluster), base::ShellQuote(name)));
  if (ended) {
    command += Section("sacct",
                       absl::StrFormat("sacct%s --name=%s --allocations --noheader --parsable2 "
                                       "--starttime=now-7days --format=JobID,JobName,State,Comment",
                                       Clusters(cluster), base::ShellQuote(name)));
  }
  return command;
}

std::string RenderFindOurs() {
  return Section("squeue", "squeue --me --noheader --format='%i|%j|%T|%k'");
}

std::string RenderCancel(const std::vector<SlurmJobRef>& jobs) {
  std::string command;
  for (const SlurmJobRef& job : jobs) {
    command += Section("scancel", absl::StrFormat("scancel%s %s", Clusters(job.cluster), job.id));
  }
  return command;
}

std::string RenderLogs(const SlurmJobRef& job, std::string_view log_path, int tail_lines,
                       bool follow) {
  const std::string log = base::ShellQuote(log_path);
  const std::string lines = tail_lines < 0 ? "+1" : std::to_string(tail_lines);
  if (!follow) {
    return absl::StrFormat("test -e %s || exit %d; exec tail -n %s -- %s", log, kNoLogExit, lines,
                           log);
  }
  // tail alone would go on for ever; it ends with the job, or with the connection ($PPID is sshd).
  return absl::StrFormat(
      "tail -n %s -F -- %s 2>/dev/null & tail=$!\n"
      "while sleep 3 && kill -0 $PPID 2>/dev/null; do\n"
      "  state=$(squeue%s --jobs=%s --noheader --format=%%T 2>&1)\n"
      "  case \"$state\" in '' | *'Invalid job id'*) sleep 1; break ;; esac\n"
      "done\n"
      "kill $tail",
      lines, log, Clusters(job.cluster), job.id);
}

std::string RenderCheck(const SlurmSettings& settings, const std::vector<std::string>& folders) {
  std::string command =
      Section("tools",
              "for tool in sbatch squeue scancel srun scontrol sinfo; do "
              "command -v $tool >/dev/null || echo $tool; done; "
              "command -v sacct >/dev/null || echo no-sacct") +
      Section("pyxis", "srun --help 2>&1 | grep -e --container-image") +
      Section("enroot", "command -v enroot") +
      Section("controller", "scontrol ping | grep -e ' is UP'") +
      // Which registries have no line; what the lines say stays there.
      Section(
          "credentials",
          "file=\"${ENROOT_CONFIG_PATH:-${XDG_CONFIG_HOME:-$HOME/.config}/enroot}/.credentials\"; "
          "test -s \"$file\" && for machine in nvcr.io authn.nvidia.com; do "
          "grep -qsw -e \"machine  *$machine\" -e '^default' \"$file\" || echo $machine; done") +
      Section("recording", "scontrol show config | grep -i AccountingStoreFlags") +
      Section("partition", absl::StrFormat("sinfo --noheader --partition=%s --format='%%P|%%a|%%l|"
                                           "%%G'",
                                           base::ShellQuote(settings.partition))) +
      Section("account",
              "sacctmgr --noheader --parsable2 show assoc user=\"$(id -un)\" format=account");
  for (const std::string& folder : folders) {
    const std::string quoted = base::ShellQuote(folder);
    command +=
        Section("readable " + folder, "test -r " + quoted) +
        Section("writable " + folder, absl::StrFormat("test -d %s && test -w %s", quoted, quoted));
  }
  return command;
}

}  // namespace tao::platforms
