#include "clients/cli/follow_readiness.h"

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <grpcpp/completion_queue.h>
#include <unistd.h>

#include "clients/cli/progress_line.h"
#include "clients/cli/service_text.h"
#include "clients/cli/status_report.h"
#include "clients/cli/terminal_text.h"

namespace tao::cli {
namespace {

// One step of the stream, while the line on the terminal counts the seconds. False: the stream is
// over.
bool Await(grpc::CompletionQueue& queue, ProgressLine& progress) {
  void* tag = nullptr;
  bool ok = false;
  while (queue.AsyncNext(&tag, &ok, absl::ToChronoTime(absl::Now() + absl::Seconds(1))) ==
         grpc::CompletionQueue::TIMEOUT) {
    progress.Tick(absl::Now());
  }
  return ok;
}

grpc::Status Follow(Session& session, const pb::WatchReadinessRequest& request, pb::Service& last) {
  // Before the context, which outlives the calls on it.
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  const Interrupt::Scope scope(session.interrupt, &context);
  const bool on_terminal = IsTerminal(STDERR_FILENO);
  ProgressLine progress({.on_terminal = on_terminal, .columns = TerminalColumns(STDERR_FILENO)},
                        absl::Now(), PrintErr);
  void* const tag = &queue;  // one operation at a time: tags say nothing
  auto reader = session.stub->AsyncWatchReadiness(&context, request, &queue, tag);
  if (Await(queue, progress)) {
    pb::ReadinessEvent event;
    while (true) {
      reader->Read(&event, tag);
      if (!Await(queue, progress)) break;
      last = event.service();
      progress.Show(last, absl::Now());
    }
  }
  grpc::Status status;
  reader->Finish(&status, tag);
  Await(queue, progress);
  return status;
}

}  // namespace

Followed FollowReadiness(Session& session, const std::string& job_id, FollowUntil until) {
  pb::WatchReadinessRequest request;
  request.set_job_id(job_id);
  request.set_until_ready(until == FollowUntil::kReady);
  Followed followed{.code = ExitCode::kOk, .last = {}};
  const grpc::Status status = Follow(session, request, followed.last);
  if (!status.ok()) {
    followed.code = ReportStatus(status, session);
    // The service lives on without us, and without its daemon.
    if (status.error_code() != grpc::StatusCode::NOT_FOUND) {
      PrintErr(
          absl::StrFormat("%s The service goes on. Look again: %s\n",
                          followed.code == ExitCode::kInterrupted ? "Detached." : "Lost sight.",
                          CommandLine(session, "watch", job_id)));
    }
    return followed;
  }
  const pb::Phase phase = followed.last.phase();
  if (phase == pb::PHASE_FAILED || (until == FollowUntil::kReady && phase != pb::PHASE_READY)) {
    PrintErr("tao-inference: " + FailureReport(followed.last));
    followed.code = ExitCode::kServiceFailed;
  }
  return followed;
}

}  // namespace tao::cli
