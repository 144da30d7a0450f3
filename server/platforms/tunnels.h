#pragma once

// Helper programs that forward a port of this host to a service elsewhere (ssh -L, kubectl
// port-forward), each watched by a thread of its own: started again when it ends, with growing
// waits, until it is closed. They end with the daemon (io/subprocess.h), and Adopt opens them again
// in the next one. Thread-safe.
//
// That something listens proves nothing of the service behind it: only the readiness probe does.

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/backoff.h"
#include "server/base/cancel.h"
#include "server/base/mutex.h"

namespace tao::platforms {

struct TunnelSpec {
  std::vector<std::string> argv;  // runs until it is ended; listens on local_port itself
  std::vector<std::string> unset_env;
  int local_port = 0;
  // What the program's last words mean, as an error with its advice.
  std::function<absl::Status(std::string_view err)> explain;
};

class Tunnels {
 public:
  explicit Tunnels(base::BackoffOptions backoff = {.first = absl::Milliseconds(500),
                                                   .longest = absl::Seconds(30)});
  ~Tunnels();  // ends them all

  // Opens the tunnel of `job_id`, and returns when it listens; one that is open with the same
  // argv stays. ResourceExhausted: the local port is taken. On any error, and when `cancel` fires
  // (Cancelled), there is no tunnel of that name. DeadlineExceeded: it did not listen in time.
  absl::Status Open(const std::string& job_id, TunnelSpec spec, absl::Duration timeout,
                    const base::CancelToken& cancel);
  // The same in the background, tried for ever.
  void Adopt(const std::string& job_id, TunnelSpec spec);
  // Ends it, and returns when it has ended. None is fine.
  void Close(const std::string& job_id);

  // OK: it listens. NotFound: there is none. Otherwise why it does not, as `explain` says.
  absl::Status StateOf(const std::string& job_id) const;

 private:
  class Tunnel;
  std::shared_ptr<Tunnel> Find(const std::string& job_id) const;
  std::shared_ptr<Tunnel> Replace(const std::string& job_id, TunnelSpec spec);

  const base::BackoffOptions backoff_;
  mutable base::Mutex mutex_;
  std::map<std::string, std::shared_ptr<Tunnel>> tunnels_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tao::platforms
