#pragma once

// Pure: the job's script, and the commands that are run on a login host.

#include <string>
#include <string_view>
#include <vector>

#include "server/launch/launch_plan.h"
#include "server/platforms/slurm/slurm_parse.h"
#include "server/platforms/slurm/slurm_settings.h"

namespace tao::platforms {

// How the script ends when its port on the node is somebody else's.
inline constexpr int kPortTakenExit = 98;
// How the submitting command ends when it did not get the whole script.
inline constexpr int kTornInputExit = 97;
// How RenderLogs ends when there is no log yet.
inline constexpr int kNoLogExit = 44;

// The name by which a job is found when the answer of sbatch was lost: unique, as job_id is.
std::string JobName(std::string_view job_id);
// --comment.
std::string DaemonComment(std::string_view daemon_id);
std::string LogFolder(const SlurmSettings& settings);
// Of both streams.
std::string LogPath(const SlurmSettings& settings, std::string_view job_id,
                    std::string_view slurm_id);

// The port on the node that the job's `attempt`th try takes; 8080 where it cannot be chosen.
int NodePort(const launch::LaunchPlan& plan, int attempt);

// "nvcr.io/nvidia/x:1" -> "nvcr.io#nvidia/x:1", which every enroot reads; paths and images without
// a registry as they are.
std::string EnrootImage(std::string_view image);

struct SlurmJobContext {
  std::string daemon_id;
  int node_port = 0;
  std::vector<std::string> secret_names;  // those of the plan that are set
};

// Nothing secret is in it. It prints, of the port on the node, lines that ParseMarks reads.
std::string RenderScript(const launch::LaunchPlan& plan, const SlurmSettings& settings,
                         const SlurmJobContext& context);
// For a check without a plan: the same directives, and nothing to run.
std::string RenderProbeScript(const SlurmSettings& settings, const launch::GpuRequest& gpus);

// Reads `KEY=VALUE` lines, one empty line and the script from stdin: what it exports reaches the
// job by sbatch's environment, and is in no argument and no file. A script that is not whole (the
// connection broke) is not submitted.
std::string RenderSubmit(const SlurmSettings& settings, bool test_only);

// For ParseStatus, in sections.
std::string RenderStatus(const SlurmJobRef& job);
// The same with the queue and what the script has printed so far.
std::string RenderWatch(const SlurmJobRef& job, const SlurmSettings& settings,
                        std::string_view log_path);
// For ParseNamed: the jobs of that name in squeue, and in the accounting when `ended`.
std::string RenderFind(std::string_view name, std::string_view cluster, bool ended);
std::string RenderFindOurs();
std::string RenderCancel(const std::vector<SlurmJobRef>& jobs);
std::string RenderLogs(const SlurmJobRef& job, std::string_view log_path, int tail_lines,
                       bool follow);
// For the sections of slurm_check.cc.
std::string RenderCheck(const SlurmSettings& settings, const std::vector<std::string>& folders);

}  // namespace tao::platforms
