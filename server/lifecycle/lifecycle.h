#pragma once

// Start, Stop and everything between them: the one place that changes a service's record. The API
// asks it, the prober reports to it, recovery runs in it once at start. Thread-safe.
//
// The way of a Start: Lifecycle::Start (checks, leases, the journal; start_operation.h) -> the
// operation queue -> StartOperation (the driver's Launch, confirm, publish) -> the prober's
// findings (OnFinding) until READY. The way of a Stop: Lifecycle::Stop (DRAINING is durable) ->
// StopOperation.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "server/launch/launch_request.h"
#include "server/lifecycle/operation_queue.h"
#include "server/lifecycle/parts.h"
#include "server/readiness/prober.h"
#include "server/registry/registry_file_sync.h"
#include "server/registry/service_record.h"

namespace tao::lifecycle {

class Lifecycle : public readiness::ProbeListener, public registry::ForeignEntryListener {
 public:
  // `parts` outlives it.
  explicit Lifecycle(Parts& parts);
  // Ends helper programs and waits for the operations that run; services run on.
  ~Lifecycle() override;

  // Compares journal, records and platforms, and puts every half-done thing in order: adopts what
  // runs, finishes what was being stopped, starts again what was being started. Blocks for the
  // platforms' answers; long work goes on in the background. Call once, before the API listens.
  void Recover();

  // What a start on a platform needs, each looked at; blocks for that (30 s at most). Of `request`
  // the platform, its options and the GPUs count. InvalidArgument: no such platform, or an option
  // that it does not take.
  struct PlatformCheck {
    std::string platform;
    std::vector<platforms::CheckItem> items;
  };
  absl::StatusOr<PlatformCheck> CheckPlatform(const launch::LaunchRequest& request);

  // Checks, leases, journals; the launch goes on in the background. Blocks for the platform's
  // preflight (30 s at most). The same request_id and parameters give the same service.
  absl::StatusOr<registry::ServiceRecord> Start(const launch::LaunchRequest& request);

  // DRAINING is durable when it returns. What is gone already comes back as STOPPED.
  // FailedPrecondition: an entry of another tool that lacks what it takes to stop it.
  // `drain_timeout`: absent: the operator's.
  absl::StatusOr<registry::ServiceRecord> Stop(std::string_view job_id,
                                               std::optional<absl::Duration> drain_timeout);

  // For StreamLogs: blocks, calls `sink` from this thread.
  absl::Status StreamLogs(std::string_view job_id, const platforms::LogOptions& options,
                          platforms::LogSink& sink, const base::CancelToken& cancel);

  // Asks the platform of `record`; for the prober.
  absl::StatusOr<platforms::PlatformState> Observe(const registry::ServiceRecord& record);

  // Removes what is past its time (FAILED and STOPPED for 24 h). Called about once a minute.
  void Prune();

  // Stops every service of ours and waits: --stop-services-on-exit.
  void StopAll(absl::Duration drain_timeout);
  // No operation starts any more; those that run are cancelled.
  void Shutdown();

  // ProbeListener
  void OnFinding(std::string_view job_id, std::optional<platforms::PlatformState> platform,
                 std::optional<readiness::ProbeResult> probe) override;

  // ForeignEntryListener
  void OnForeignEntry(const registry::FileEntry& entry) override;
  void OnForeignEntryGone(std::string_view job_id) override;
  void OnOurEntryVanished(std::string_view job_id) override;

 private:
  absl::StatusOr<registry::ServiceRecord> AcceptStart(const launch::LaunchRequest& request);
  void PostStart(const std::string& job_id, absl::Duration patience);
  void PostStop(const std::string& job_id, absl::Duration drain_timeout);
  void PostFail(const std::string& job_id);
  // The job answers elsewhere now (PlatformState::moved): its record says so durably, and with it
  // the route table, the prober and the registry file.
  void FollowMove(std::string_view job_id, const std::map<std::string, std::string>& moved);
  // Removes containers and processes of ours that no live record knows; repeated for a while, since
  // a helper program of a daemon that died may still finish.
  // `unknown`: jobs that were found and left alone, because their record is broken; told once.
  void SweepLeftovers(std::set<std::string>& unknown, const base::CancelToken& cancel);

  Parts& parts_;
  OperationQueue operations_;
};

}  // namespace tao::lifecycle
