#pragma once

// The brev program, for the life of instances alone. brev exec and copy are never used: they run a
// command twice, start an instance that is stopped, and read host names from stdin.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <set>
#include <string>
#include <vector>

#include "server/base/cancel.h"
#include "server/base/mutex.h"
#include "server/io/subprocess.h"
#include "server/platforms/brev/brev_parse.h"
#include "server/platforms/brev/brev_render.h"

namespace tao::platforms {

// Thread-safe. Every call ends within its limit, or Cancelled when `cancel` (may be null) fires.
class BrevCli {
 public:
  BrevCli(std::string program, std::vector<std::string> secret_names)
      : program_(std::move(program)), secret_names_(std::move(secret_names)) {}

  // FailedPrecondition: there is no such program.
  absl::StatusOr<std::string> Version(absl::Duration limit) const;
  absl::StatusOr<std::vector<BrevInstance>> List(absl::Duration limit,
                                                 const base::CancelToken* cancel) const;
  // Writes ~/.brev/ssh_config for what runs now.
  absl::Status Refresh(absl::Duration limit, const base::CancelToken* cancel) const;
  absl::StatusOr<std::vector<BrevType>> Types(absl::Duration limit,
                                              const base::CancelToken* cancel) const;
  absl::StatusOr<std::set<std::string>> CreateFlags(absl::Duration limit,
                                                    const base::CancelToken* cancel) const;
  absl::Status Create(const BrevCreate& create, absl::Duration limit,
                      const base::CancelToken* cancel) const;
  // Returns when brev has begun with it. None by that id is fine.
  absl::Status Delete(const std::string& id, absl::Duration limit,
                      const base::CancelToken* cancel) const;

 private:
  absl::StatusOr<io::SubprocessResult> Run(std::vector<std::string> arguments, absl::Duration limit,
                                           const base::CancelToken* cancel) const;

  const std::string program_;
  const std::vector<std::string> secret_names_;
  mutable base::Mutex refresh_mutex_;  // two at a time would write one file
};

}  // namespace tao::platforms
