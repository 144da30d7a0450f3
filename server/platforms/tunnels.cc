#include "server/platforms/tunnels.h"

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <poll.h>

#include <optional>
#include <thread>
#include <utility>

#include "server/base/log.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/io/subprocess.h"
#include "server/platforms/port_check.h"

namespace tao::platforms {
namespace {

constexpr absl::Duration kListenPoll = absl::Milliseconds(20);
// A tunnel that lasted this long was a good one: its successor is started without a long wait.
constexpr absl::Duration kGoodLife = absl::Minutes(1);
constexpr absl::Duration kEndGrace = absl::Seconds(2);
constexpr absl::Duration kEver = absl::InfiniteDuration();

}  // namespace

// One helper program after another, and the thread that watches them.
class Tunnels::Tunnel {
 public:
  Tunnel(std::string job_id, TunnelSpec spec, base::BackoffOptions backoff)
      : job_id_(std::move(job_id)), spec_(std::move(spec)), backoff_(backoff) {
    thread_ = std::thread([this] { Run(); });
  }
  ~Tunnel() {
    closing_.Cancel();
    thread_.join();
  }

  bool SameAs(const TunnelSpec& spec) const {
    return spec_.argv == spec.argv && spec_.local_port == spec.local_port;
  }

  absl::Status state() const {
    const base::MutexLock lock(mutex_);
    return StateLocked();
  }

  // Until it listens, or its first program has failed; DeadlineExceeded, Cancelled.
  absl::Status WaitFirst(absl::Duration timeout, const base::CancelToken& cancel) {
    const absl::Time deadline = absl::Now() + timeout;
    const base::MutexLock lock(mutex_);
    while (!listening_ && failures_ == 0) {
      if (cancel.cancelled()) return absl::CancelledError("the tunnel is no longer wanted");
      if (absl::Now() >= deadline) {
        return absl::DeadlineExceededError(
            absl::StrFormat("the tunnel of service %s did not listen on port %d within %s", job_id_,
                            spec_.local_port, absl::FormatDuration(timeout)));
      }
      changed_.WaitWithTimeout(mutex_, kListenPoll);
    }
    return StateLocked();
  }

 private:
  absl::Status StateLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return listening_ ? absl::OkStatus() : trouble_;
  }

  void Set(bool listening, absl::Status trouble) {
    const base::MutexLock lock(mutex_);
    listening_ = listening;
    if (!trouble.ok()) {
      ++failures_;
      trouble_ = std::move(trouble);
    }
    changed_.SignalAll();
  }

  // Why the program ended, in words that help.
  absl::Status Explain(const io::SubprocessResult& ended) const {
    absl::Status why = spec_.explain ? spec_.explain(ended.err) : absl::OkStatus();
    if (!why.ok()) return why;
    return absl::UnavailableError(absl::StrFormat("%s ended with exit code %d: %s", spec_.argv[0],
                                                  ended.exit_code, base::Quoted(ended.err, 300)));
  }

  // One program's life; what ended it. Cancelled: we did.
  absl::Status RunOnce() {
    // A program that cannot bind may stay up, with somebody else listening in its place.
    RETURN_IF_ERROR(CheckPortIsFree(spec_.local_port));
    io::SubprocessOptions options;
    options.argv = spec_.argv;
    options.unset_env = spec_.unset_env;
    options.max_output_bytes = 16 << 10;
    ASSIGN_OR_RETURN(io::Subprocess program, io::Subprocess::Spawn(std::move(options)));
    bool listening = false;
    while (true) {
      absl::StatusOr<io::SubprocessResult> ended =
          program.Wait(listening ? kEver : kListenPoll, &closing_);
      if (ended.ok()) return Explain(*ended);
      if (absl::IsCancelled(ended.status())) {
        program.Terminate(kEndGrace);
        return ended.status();
      }
      if (!absl::IsDeadlineExceeded(ended.status())) return ended.status();
      if (!listening && ListensOn(program.pid(), spec_.local_port)) {
        listening = true;
        Set(true, absl::OkStatus());
      }
    }
  }

  void Run() {
    while (!closing_.cancelled()) {
      const absl::Time begun = absl::Now();
      absl::Status ended = RunOnce();
      if (closing_.cancelled()) return;
      base::Log(base::LogLevel::kWarning, "platforms", "a tunnel ended; it is opened again",
                {{"job_id", job_id_},
                 {"local_port", spec_.local_port},
                 {"why", std::string(base::ToStd(ended.message()))}});
      Set(false, std::move(ended));
      if (absl::Now() - begun > kGoodLife) backoff_.Reset();
      WaitForClosing(backoff_.Next());
    }
  }

  void WaitForClosing(absl::Duration wait) const {
    pollfd closing = {.fd = closing_.fd(), .events = POLLIN, .revents = 0};
    poll(&closing, 1, static_cast<int>(absl::ToInt64Milliseconds(wait)));
  }

  const std::string job_id_;
  const TunnelSpec spec_;
  base::Backoff backoff_;  // of the thread
  base::CancelToken closing_;
  mutable base::Mutex mutex_;
  base::CondVar changed_;
  bool listening_ ABSL_GUARDED_BY(mutex_) = false;
  int failures_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status trouble_ ABSL_GUARDED_BY(mutex_) =
      absl::UnavailableError("the tunnel is being opened");
  std::thread thread_;
};

Tunnels::Tunnels(base::BackoffOptions backoff) : backoff_(backoff) {}

Tunnels::~Tunnels() = default;

std::shared_ptr<Tunnels::Tunnel> Tunnels::Find(const std::string& job_id) const {
  const base::MutexLock lock(mutex_);
  const auto found = tunnels_.find(job_id);
  return found == tunnels_.end() ? nullptr : found->second;
}

std::shared_ptr<Tunnels::Tunnel> Tunnels::Replace(const std::string& job_id, TunnelSpec spec) {
  if (std::shared_ptr<Tunnel> open = Find(job_id); open != nullptr && open->SameAs(spec)) {
    return open;
  }
  Close(job_id);  // its port may be the new one's
  auto fresh = std::make_shared<Tunnel>(job_id, std::move(spec), backoff_);
  const base::MutexLock lock(mutex_);
  tunnels_.insert_or_assign(job_id, fresh);
  return fresh;
}

absl::Status Tunnels::Open(const std::string& job_id, TunnelSpec spec, absl::Duration timeout,
                           const base::CancelToken& cancel) {
  const std::shared_ptr<Tunnel> tunnel = Replace(job_id, std::move(spec));
  absl::Status opened = tunnel->WaitFirst(timeout, cancel);
  if (!opened.ok()) Close(job_id);
  return opened;
}

void Tunnels::Adopt(const std::string& job_id, TunnelSpec spec) {
  static_cast<void>(Replace(job_id, std::move(spec)));
}

void Tunnels::Close(const std::string& job_id) {
  std::shared_ptr<Tunnel> closed;
  {
    const base::MutexLock lock(mutex_);
    const auto found = tunnels_.find(job_id);
    if (found == tunnels_.end()) return;
    closed = std::move(found->second);
    tunnels_.erase(found);
  }
  closed.reset();  // waits for its program, outside the lock
}

absl::Status Tunnels::StateOf(const std::string& job_id) const {
  const std::shared_ptr<Tunnel> tunnel = Find(job_id);
  if (tunnel == nullptr) {
    return absl::NotFoundError(absl::StrFormat("service %s has no tunnel", job_id));
  }
  return tunnel->state();
}

}  // namespace tao::platforms
