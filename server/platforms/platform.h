#pragma once

// Starts, observes and stops containers on one platform. Implemented by one driver per folder.
//
// Every call may block for its deadline and may come from any thread; calls for one job never
// overlap, except that Observe and StreamLogs may run beside Launch. Every call is idempotent,
// because recovery repeats it after a crash. Nothing secret is in an argument, a result or an
// error.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/cancel.h"
#include "server/launch/launch_plan.h"
#include "server/registry/service_record.h"
#include "server/registry/step.h"
#include "server/routing/route_table.h"

namespace tao::platforms {

// What never changes of a platform.
struct PlatformTraits {
  std::string_view name;               // "local-docker"; the value of StartRequest.platform
  std::string_view execution_backend;  // TAO_EXECUTION_BACKEND inside the container
  // The container has a network of its own and always serves 8080 inside it. Otherwise the inner
  // command is given the leased port, and an arch without a port_flag takes 8080 on the host,
  // alone.
  bool own_network = true;
  // There is no container: the service sees the host's files as they are, and nothing can be
  // mounted (LaunchContext::host_filesystem).
  bool host_filesystem = false;
  // The endpoint is a port of this host, from the host's pool (8080 to 8199).
  bool uses_host_port = true;
};

// A job of the platform, as the driver left it: enough to find it again after a crash.
struct PlatformJob {
  std::string job_id;
  int host_port = 0;
  std::map<std::string, std::string> driver_state;
};

struct PlatformState {
  enum class State {
    kPending,  // created, queued, restarting
    kRunning,
    kExited,  // ended by itself with status 0: an idle shutdown
    kFailed,  // ended otherwise, or could never start
    kGone,    // certainly not there
  };
  State state = State::kPending;
  std::string detail;  // for people: "exit status 1", "out of memory (OOMKilled)"
  std::optional<int> exit_code;
};

// Where Launch tells what it does, and asks for what it needs. Implemented by server/lifecycle;
// calls block for a durable write at most.
class LaunchSession {
 public:
  virtual ~LaunchSession() = default;
  // Before and after each step that leaves something behind. An error ends the launch.
  virtual absl::Status BeginStep(registry::Step step) = 0;
  virtual absl::Status EndStep(registry::Step step) = 0;
  // Durable; replaces what was saved. Save what finds the job before the job exists.
  virtual absl::Status SaveDriverState(const std::map<std::string, std::string>& state) = 0;
  virtual void ReportProgress(const registry::Progress& progress) = 0;
  // The port that is leased now, and the next one after the platform said that it is taken by
  // somebody else. ResourceExhausted when none is left.
  virtual int host_port() const = 0;
  virtual absl::StatusOr<int> NextPort() = 0;
  virtual const std::vector<std::string>& gpu_ids() const = 0;  // leased
  virtual const base::CancelToken& cancel() const = 0;          // Stop during Start, or shutdown
};

// Where Stop journals its steps.
class StopSession {
 public:
  virtual ~StopSession() = default;
  virtual absl::Status BeginStep(registry::Step step) = 0;
  virtual absl::Status EndStep(registry::Step step) = 0;
};

struct StopOptions {
  absl::Duration grace_period = absl::Seconds(20);  // between SIGTERM and SIGKILL
};

// Takes log lines as they come, one call a line, without its line end; from the calling thread.
class LogSink {
 public:
  virtual ~LogSink() = default;
  // False ends the stream (the reader left).
  virtual bool OnLine(std::string_view line) = 0;
};

struct LogOptions {
  int tail_lines = 200;                        // how much of the past; -1: all of it
  bool follow = false;                         // go on until the job ends or `cancel`
  absl::Duration timeout = absl::Seconds(10);  // without `follow`
};

// A job that carries our labels, found without any record of it.
struct FoundJob {
  std::string job_id;
  PlatformState state;
};

class Platform {
 public:
  virtual ~Platform() = default;
  virtual const PlatformTraits& traits() const = 0;

  // Whether `plan` could start now: program, daemon, GPUs, rights. At most `deadline` from now.
  // FailedPrecondition says what is missing and how to get it; Unavailable: could not ask.
  virtual absl::Status Preflight(const launch::LaunchPlan& plan, absl::Duration deadline) = 0;

  // GPU ids that this platform can give on this host, for the lease, best first; empty: the
  // platform chooses itself. With request.ids exactly those, in that order, each by the one name
  // that it is leased under (a card has an index and a UUID): lease these instead.
  // FailedPrecondition (with advice) for kAuto on a host without a GPU, and for an id that is not
  // there.
  virtual absl::StatusOr<std::vector<std::string>> GpuIds(const launch::GpuRequest& request) = 0;

  // Starts `plan`, or finds what already runs under its job_id. Returns when the container or
  // process runs (not when it is ready). On any error nothing of it is left on the platform, unless
  // the error is of the removal itself. Cancelled when the session's token fired.
  virtual absl::StatusOr<PlatformJob> Launch(const launch::LaunchPlan& plan,
                                             LaunchSession& session) = 0;

  // kGone only when that is certain; Unavailable = could not ask, which must never be read as gone.
  virtual absl::StatusOr<PlatformState> Observe(const PlatformJob& job) = 0;

  // host_url and docker_url for the registry, and the backend that is dialled.
  struct Endpoint {
    std::string host_url, docker_url;
    routing::Backend backend;
  };
  virtual Endpoint EndpointOf(const PlatformJob& job) const = 0;

  // Ends the job and removes all that is left of it on the platform. Gone already is OK.
  virtual absl::Status Stop(const PlatformJob& job, const StopOptions& options,
                            StopSession& session) = 0;

  // Both streams of the job's output, also after it has ended. NotFound: no such job, or no logs.
  virtual absl::Status StreamLogs(const PlatformJob& job, const LogOptions& options, LogSink& sink,
                                  const base::CancelToken& cancel) = 0;

  // Jobs that carry this state directory's daemon id (tao-daemon), for recovery.
  virtual absl::StatusOr<std::vector<FoundJob>> FindOurs() = 0;
};

}  // namespace tao::platforms
