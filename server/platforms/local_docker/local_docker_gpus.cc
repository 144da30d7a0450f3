// LocalDockerPlatform's GPUs on another host: nobody here sees them, so a container there is asked.

#include <absl/strings/str_format.h>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/docker/docker_render.h"
#include "server/platforms/local_docker/local_docker_platform.h"
#include "server/platforms/preflight.h"

namespace tao::platforms {
namespace {

using launch::GpuMode;

absl::Status NoRuntime(const DockerEngine& engine) {
  return absl::FailedPreconditionError(absl::StrFormat(
      "%s has no nvidia runtime, so no service there can have a GPU. On its host install the "
      "NVIDIA Container Toolkit, run nvidia-ctk runtime configure --runtime=docker and restart "
      "docker, or say --gpu-mode none to start without a GPU (demos and tests: the models "
      "themselves need one)",
      Describe(engine)));
}

absl::Status NoGpu(const DockerEngine& engine, std::string_view words) {
  return absl::FailedPreconditionError(absl::StrFormat(
      "nvidia-smi in a container on %s lists no GPU%s%s. Check nvidia-smi on its host; on a Jetson "
      "say --gpu-mode tegra; --gpu-mode none starts without a GPU",
      Describe(engine), words.empty() ? "" : ": ", words));
}

}  // namespace

CheckItem LocalDockerPlatform::RemoteGpuItem(const DockerEngine& engine,
                                             const launch::GpuRequest& gpus,
                                             absl::Duration timeout) const {
  if (gpus.mode == GpuMode::kNone) return ItemOf("gpu", absl::OkStatus(), "none is used");
  const absl::StatusOr<io::SubprocessResult> result =
      Run(Docker(engine, RenderRuntimes(), timeout));
  absl::Status status = result.status();
  if (result.ok() && result->exit_code != 0) {
    status =
        EngineError(engine, "docker could not list its runtimes", result->exit_code, result->err);
  } else if (result.ok()) {
    const absl::StatusOr<bool> has = ParseHasNvidiaRuntime(result->out);
    status = has.ok() && !*has ? NoRuntime(engine) : has.status();
  }
  return ItemOf("gpu", status,
                "the engine has the nvidia runtime; its GPUs are looked at by a start, in a "
                "container of the service's image");
}

absl::StatusOr<std::vector<std::string>> LocalDockerPlatform::ChooseGpus(const Launching& launch) {
  const DockerEngine& engine = launch.state.engine;
  const launch::GpuRequest& wanted = launch.plan.gpus;
  if (wanted.mode == GpuMode::kNone) return std::vector<std::string>();
  HostGpus host;
  if (wanted.mode == GpuMode::kTegra) {  // its one GPU is in no list
    host = {.tegra = true, .gpus = {{.index = "0", .uuid = "", .memory_used_mib = 0}}};
  } else {
    io::SubprocessOptions query =
        Docker(engine, RenderGpuQuery(launch.plan.image), config_.run_timeout);
    query.cancel = &launch.session.cancel();
    ASSIGN_OR_RETURN(const io::SubprocessResult result, Run(query));
    if (result.exit_code != 0) {
      return EngineError(
          engine,
          absl::StrFormat("nvidia-smi failed in a container of image %s", launch.plan.image),
          result.exit_code, result.err.empty() ? result.out : result.err);
    }
    ASSIGN_OR_RETURN(host.gpus, ParseNvidiaSmi(result.out));
    if (host.gpus.empty()) return NoGpu(engine, DockerWords(result.out));
  }
  const absl::StatusOr<std::vector<std::string>> usable = ChooseGpuIds(wanted, host);
  if (!usable.ok()) {
    return absl::Status(
        usable.status().code(),
        absl::StrFormat("on %s: %s", Describe(engine), base::ToStd(usable.status().message())));
  }
  ASSIGN_OR_RETURN(const io::SubprocessResult taken,
                   Run(Docker(engine, RenderTakenGpus(), kDockerAskTimeout)));
  if (taken.exit_code != 0) {
    return EngineError(engine, "docker could not list its containers", taken.exit_code, taken.err);
  }
  return remote_gpus_.Reserve(launch.plan.job_id, engine.host, *usable, ParseTakenGpus(taken.out),
                              static_cast<size_t>(wanted.count), Describe(engine));
}

}  // namespace tao::platforms
