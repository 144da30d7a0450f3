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
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/cancel.h"
#include "server/launch/launch_plan.h"
#include "server/registry/service_record.h"
#include "server/registry/step.h"
#include "server/routing/route_table.h"

namespace tao::platforms {

// One of StartRequest.platform_options that a platform takes.
struct PlatformOption {
  std::string_view name;  // "partition"
  std::string_view help;  // one line, with the default
};

// What a service of a platform does with a port of this host (8080 to 8199).
enum class HostPort {
  kNone,       // nothing: its endpoint is elsewhere
  kForwarded,  // it is forwarded to the container (published, tunnelled): any free one will do
  kListened,   // the service itself listens there: its arch says which can be (PortWishFor)
};

// What never changes of a platform.
struct PlatformTraits {
  std::string_view name;               // "local-docker"; the value of StartRequest.platform
  std::string_view execution_backend;  // TAO_EXECUTION_BACKEND inside the container
  // The container has a network of its own and always serves 8080 inside it. Otherwise the inner
  // command is given a port of the host or node, and an arch without a port_flag takes 8080 there,
  // alone.
  bool own_network = true;
  // There is no container: the service sees the host's files as they are, and nothing can be
  // mounted (LaunchContext::host_filesystem).
  bool host_filesystem = false;
  HostPort host_port = HostPort::kForwarded;
  // The platform_options that it takes; others are refused before a driver sees them.
  std::span<const PlatformOption> options = {};
};

// One thing that a start on a platform needs, looked at.
struct CheckItem {
  enum class Outcome {
    kOk,
    kWarning,  // a start would work, but something is not as it should be
    kMissing,  // a start would fail
    kUnknown,  // it could not be asked
  };
  std::string name;  // stable: "engine", "gpu", "partition"
  Outcome outcome = Outcome::kOk;
  std::string message;  // for people: what was found; unless kOk, what to do about it too
};

// What a check is about. Plain data.
struct CheckRequest {
  std::map<std::string, std::string> options;  // platform_options
  launch::GpuRequest gpus;
  const launch::LaunchPlan* plan = nullptr;  // of the start it precedes; null: of any start
};

// A job of the platform, as the driver left it: enough to find it again after a crash.
struct PlatformJob {
  std::string job_id;
  int host_port = 0;      // leased on this host
  int instance_port = 0;  // leased on the instance (LaunchSession::InstancePort)
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
  // Of the job's driver_state, what Observe found to be otherwise now, by name: an address that
  // changed while the job runs. It is made durable, and everything follows what EndpointOf says
  // then. Empty: nothing changed.
  std::map<std::string, std::string> moved = {};
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
  // What was saved last, also by a daemon before this one; for what cannot be found out again (a
  // random token). Empty: nothing yet.
  virtual std::map<std::string, std::string> SavedDriverState() const { return {}; }
  virtual void ReportProgress(const registry::Progress& progress) = 0;
  // The platform has the job and it waits there: phase PENDING, with the platform's word for why
  // ("Priority") and a text for people. Again with each change; the same again costs nothing.
  virtual void ReportPending(std::string_view reason, std::string_view message) = 0;
  // The port that is leased now, and the next one after the platform said that it is taken by
  // somebody else. ResourceExhausted when none is left.
  virtual int host_port() const = 0;
  virtual absl::StatusOr<int> NextPort() = 0;
  // A port on instance `instance_id`, from that instance's own pool, leased and durable like the
  // host's; the one that is leased already when there is one. With `next` another one, after the
  // instance said that this one is taken.
  virtual absl::StatusOr<int> InstancePort(const std::string& instance_id, bool next) = 0;
  virtual const std::vector<std::string>& gpu_ids() const = 0;  // leased
  virtual const base::CancelToken& cancel() const = 0;          // Stop during Start, or shutdown
};

// Where Stop journals its steps.
class StopSession {
 public:
  virtual ~StopSession() = default;
  virtual absl::Status BeginStep(registry::Step step) = 0;
  virtual absl::Status EndStep(registry::Step step) = 0;
  // Fires at the daemon's end: Stop returns Cancelled soon, and the next daemon goes on with it.
  virtual const base::CancelToken& cancel() const = 0;
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

  // Whether the values of `options` (names of traits().options only) can be what they say. Pure.
  // InvalidArgument, with all findings as violations.
  virtual absl::Status CheckOptions(const std::map<std::string, std::string>& options) const {
    return absl::OkStatus();
  }

  // What a start needs here (program, daemon, GPUs, rights), each looked at, nothing changed; what
  // cannot be looked at because of an item before it is left out. At most `deadline` from now.
  virtual std::vector<CheckItem> Check(const CheckRequest& request, absl::Duration deadline) = 0;

  // GPU ids that this platform can give on this host, for the lease, best first; empty: the
  // platform chooses itself. With request.ids exactly those, in that order, each by the one name
  // that it is leased under (a card has an index and a UUID): lease these instead.
  // FailedPrecondition (with advice) for kAuto on a host without a GPU, and for an id that is not
  // there.
  virtual absl::StatusOr<std::vector<std::string>> GpuIds(const launch::GpuRequest& request) = 0;

  // Starts `plan`, or finds what already runs under its job_id. Returns when the container or
  // process runs (not when it is ready). On any error nothing of it is left on the platform, unless
  // the error is of the removal itself. Cancelled when the session's token fired: then what the
  // platform has by its saved name may stay, for the Stop that follows, or for the next daemon to
  // go on with (a queue or a pull of many minutes).
  virtual absl::StatusOr<PlatformJob> Launch(const launch::LaunchPlan& plan,
                                             LaunchSession& session) = 0;

  // The daemon has started again and found this live job in its state: open again what ended with
  // the daemon before (a tunnel). Returns at once; what is opened is opened in the background.
  virtual void Adopt(const PlatformJob& /*job*/) {}

  // kGone only when that is certain; Unavailable = could not ask, which must never be read as gone.
  virtual absl::StatusOr<PlatformState> Observe(const PlatformJob& job) = 0;

  // What the registry file says of the job (an empty one has no such key), and the backend that is
  // dialled. Cheap: asked for every service at each change of any.
  struct Endpoint {
    std::string host_url, docker_url;
    std::string platform_job_id, slurm_node, instance_id;
    routing::Backend backend;
  };
  virtual Endpoint EndpointOf(const PlatformJob& job) const = 0;

  // Whether Stop can find a job that another tool started, by what its entry says (driver_state).
  // Pure. FailedPrecondition names what the entry lacks.
  virtual absl::Status CheckForeign(const PlatformJob& /*job*/) const { return absl::OkStatus(); }

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
