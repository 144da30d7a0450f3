#pragma once

// One instance that runs, over ssh: its docker and its GPUs. An error is that nothing could be
// asked or done; what docker said is in the results.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/cancel.h"
#include "server/io/ssh.h"
#include "server/platforms/docker/docker_parse.h"
#include "server/platforms/host_gpus.h"

namespace tao::platforms {

// Thread-safe; cheap to make.
class BrevInstanceShell {
 public:
  explicit BrevInstanceShell(io::SshTarget target) : target_(std::move(target)) {}

  const std::string& name() const { return target_.host; }
  const io::SshTarget& target() const { return target_; }

  // One command, with what ssh's failures mean on an instance.
  absl::StatusOr<io::SubprocessResult> Run(const io::SshCommand& command) const;
  absl::StatusOr<io::SubprocessResult> Docker(const std::vector<std::string>& arguments,
                                              absl::Duration timeout,
                                              const base::CancelToken* cancel) const;

  // OK: a command runs there.
  absl::Status Answers(absl::Duration timeout, const base::CancelToken* cancel) const;
  absl::StatusOr<std::string> DockerVersion(absl::Duration timeout) const;
  // At least one: FailedPrecondition, with advice, where there is none.
  absl::StatusOr<std::vector<HostGpu>> Gpus(absl::Duration timeout,
                                            const base::CancelToken* cancel) const;
  // OK: docker there has a network of that name.
  absl::Status CheckNetwork(const std::string& network, absl::Duration timeout) const;
  absl::Status NoNetwork(const std::string& network) const;  // what to do about it
  // Those that services have by their label, whoever started them.
  absl::StatusOr<std::set<std::string>> TakenGpus(absl::Duration timeout,
                                                  const base::CancelToken* cancel) const;

  // Every container of this daemon, in one round trip.
  absl::StatusOr<std::vector<ContainerFacts>> InspectOurs(const std::string& daemon_id,
                                                          absl::Duration timeout,
                                                          const base::CancelToken* cancel) const;
  // nullopt: certainly no such container.
  absl::StatusOr<std::optional<ContainerFacts>> Inspect(const std::string& container,
                                                        const base::CancelToken* cancel) const;
  // Removed, or not there.
  absl::Status Remove(const std::string& container, const base::CancelToken* cancel) const;

 private:
  const io::SshTarget target_;
};

}  // namespace tao::platforms
