// LocalDockerPlatform's engines: which one a call goes to, and how docker is told.

#include <absl/strings/str_format.h>

#include <utility>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/local_docker/local_docker_platform.h"

namespace tao::platforms {

io::SubprocessOptions LocalDockerPlatform::Docker(const DockerEngine& engine,
                                                  std::vector<std::string> arguments,
                                                  absl::Duration timeout) const {
  io::SubprocessOptions options;
  options.argv = EngineArguments(engine);
  options.argv.insert(options.argv.begin(), config_.docker_program);
  options.argv.insert(options.argv.end(), std::make_move_iterator(arguments.begin()),
                      std::make_move_iterator(arguments.end()));
  options.unset_env = EngineUnsetEnv(engine);
  options.unset_env.insert(options.unset_env.end(), config_.secret_names.begin(),
                           config_.secret_names.end());
  // docker's ssh would ask a terminal for passwords and about host keys, and wait: now it asks a
  // program that says no.
  options.env = {{"SSH_ASKPASS", "/bin/false"}, {"SSH_ASKPASS_REQUIRE", "force"}};
  options.timeout = timeout;
  return options;
}

absl::StatusOr<io::SubprocessResult> LocalDockerPlatform::Run(
    const io::SubprocessOptions& options) const {
  absl::StatusOr<io::SubprocessResult> result = io::RunSubprocess(options);
  if (!absl::IsNotFound(result.status())) return result;
  return absl::FailedPreconditionError(
      absl::StrFormat("local-docker needs the program %s, and it is not in the server's PATH. "
                      "Install Docker (Debian: apt-get install docker.io), or start the service "
                      "with --platform local-process",
                      base::Quoted(config_.docker_program)));
}

absl::StatusOr<DockerEngine> LocalDockerPlatform::PresentEngine(absl::Duration timeout) const {
  const std::string host = config_.environment("DOCKER_HOST").value_or("");
  if (!host.empty()) {
    const bool tls = !config_.environment("DOCKER_TLS_VERIFY").value_or("").empty() ||
                     !config_.environment("DOCKER_TLS").value_or("").empty();
    return DockerEngine{.host = host, .context = "", .tls = tls};
  }
  // Then the context chooses.
  ASSIGN_OR_RETURN(const io::SubprocessResult context,
                   Run(Docker(DockerEngine(), RenderContextInspect(""), timeout)));
  if (context.exit_code != 0) {
    return DockerError("docker's context could not be read", context.exit_code, context.err);
  }
  return ParseContext(context.out);
}

absl::Status LocalDockerPlatform::CheckContext(const DockerEngine& engine) const {
  if (engine.context.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(
      const io::SubprocessResult context,
      Run(Docker(DockerEngine(), RenderContextInspect(engine.context), kDockerAskTimeout)));
  if (context.exit_code != 0) {
    return DockerError("docker's context could not be read", context.exit_code, context.err);
  }
  ASSIGN_OR_RETURN(const DockerEngine now, ParseContext(context.out));
  if (now.host == engine.host) return absl::OkStatus();
  return absl::UnavailableError(absl::StrFormat(
      "docker's context %s meant %s when the service was started, and means %s now, which knows "
      "nothing of it. Let it mean the first again (docker context update)",
      base::Quoted(engine.context), base::Quoted(engine.host), base::Quoted(now.host)));
}

absl::StatusOr<DockerEngine> LocalDockerPlatform::EngineOf(const PlatformJob& job) {
  const DockerEngine own = ToLocalDockerState(job.driver_state).engine;
  if (!own.host.empty()) {
    Remember(own);
    return own;
  }
  {
    const base::MutexLock lock(mutex_);
    const auto found = found_on_.find(job.job_id);
    if (found != found_on_.end()) return found->second;
  }
  return PresentEngine(kDockerAskTimeout);
}

void LocalDockerPlatform::Remember(const DockerEngine& engine) {
  const base::MutexLock lock(mutex_);
  engines_.insert(engine);
}

absl::StatusOr<std::vector<FoundJob>> LocalDockerPlatform::FindOurs() {
  const absl::StatusOr<DockerEngine> present = PresentEngine(kDockerAskTimeout);
  if (present.ok()) Remember(*present);
  std::set<DockerEngine> engines;
  {
    const base::MutexLock lock(mutex_);
    engines = engines_;
  }
  if (engines.empty()) return present.status();
  std::vector<FoundJob> all;
  absl::Status trouble;
  for (const DockerEngine& engine : engines) {
    absl::StatusOr<std::vector<FoundJob>> found = FindOursOn(engine);
    trouble.Update(found.status());
    if (!found.ok()) continue;  // one engine that is down hides nothing on the others
    const base::MutexLock lock(mutex_);
    for (FoundJob& job : *found) {
      found_on_.insert_or_assign(job.job_id, engine);
      all.push_back(std::move(job));
    }
  }
  if (all.empty() && !trouble.ok()) return trouble;
  return all;
}

}  // namespace tao::platforms
