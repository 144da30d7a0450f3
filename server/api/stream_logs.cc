#include "server/api/stream_logs.h"

#include <absl/strings/str_format.h>

#include <utility>

#include "server/api/to_grpc_status.h"
#include "server/api/utf8.h"
#include "server/base/errors.h"
#include "server/base/secret.h"

namespace tao::api {

std::shared_ptr<LogStream> LogStream::Create(const grpc::CallbackServerContext& context) {
  auto stream = std::shared_ptr<LogStream>(new LogStream(context));
  stream->self_ = stream;
  return stream;
}

void LogStream::Run(lifecycle::Lifecycle& lifecycle, const std::string& job_id,
                    const platforms::LogOptions& options) {
  const absl::Status status = cancel_.cancelled()
                                  ? absl::OkStatus()
                                  : lifecycle.StreamLogs(job_id, options, *this, cancel_);
  End(cancel_.cancelled() ? absl::CancelledError("the call was cancelled") : status);
}

bool LogStream::OnLine(std::string_view line) {
  // Redacted before it is cut: half a secret would be known to nobody.
  std::string text = CutUtf8(ToValidUtf8(base::Redact(std::string(line))), kMaxLogLineBytes);
  {
    base::MutexLock lock(mutex_);
    while (waiting_bytes_ >= kMaxWaitingLogBytes && !end_.has_value() && !cancel_.cancelled()) {
      drained_.Wait(mutex_);
    }
    if (end_.has_value() || cancel_.cancelled()) return false;
    waiting_bytes_ += text.size() + 1;
    waiting_.push_back(std::move(text));
  }
  Pump();
  return true;
}

void LogStream::End(const absl::Status& status) {
  {
    base::MutexLock lock(mutex_);
    if (!end_.has_value()) end_ = status;
  }
  Pump();
}

void LogStream::Pump() {
  std::optional<absl::Status> finish;
  {
    base::MutexLock lock(mutex_);
    if (writing_ || finished_) return;
    if (!waiting_.empty() && !cancel_.cancelled()) {
      chunk_.clear_lines();
      for (std::string& line : waiting_) chunk_.add_lines(std::move(line));
      waiting_.clear();
      waiting_bytes_ = 0;
      writing_ = true;
      drained_.SignalAll();
    } else if (end_.has_value()) {
      finished_ = true;
      finish = end_;
    } else {
      return;
    }
  }
  // Outside the lock: nothing else is started meanwhile, since writing_ or finished_ is set.
  if (finish.has_value()) {
    Finish(ToGrpcStatus(*finish));
  } else {
    StartWrite(&chunk_);
  }
}

void LogStream::Interrupt() {
  cancel_.Cancel();
  base::MutexLock lock(mutex_);  // so that OnLine does not miss it between its look and its wait
  drained_.SignalAll();
}

void LogStream::OnWriteDone(bool ok) {
  {
    base::MutexLock lock(mutex_);
    writing_ = false;
  }
  if (!ok) Interrupt();
  Pump();
}

void LogStream::OnCancel() {
  Interrupt();
  End(absl::CancelledError("the call was cancelled"));
}

void LogStream::OnServerDrain() {
  End(
      absl::UnavailableError("the server is shutting down; services run on, ask again when it is "
                             "back"));
  Interrupt();
}

void LogStream::OnDone() {
  CallEnded();
  Interrupt();  // the thread has nobody to read for any more
  const std::shared_ptr<LogStream> last = std::move(self_);
}

grpc::ServerWriteReactor<pb::LogChunk>* LogStreams::Begin(
    lifecycle::Lifecycle& lifecycle, ServerDrain& drain, const grpc::CallbackServerContext& context,
    const pb::StreamLogsRequest& request) {
  const std::shared_ptr<LogStream> stream = LogStream::Create(context);
  platforms::LogOptions options;
  options.follow = request.follow();
  if (request.has_tail_lines()) options.tail_lines = request.tail_lines();
  if (options.tail_lines < -1) {
    const std::string description = absl::StrFormat(
        "is %d; write how many lines of the past you want, or -1 for all", options.tail_lines);
    stream->End(
        base::WithDetails(absl::InvalidArgumentError("tail_lines " + description),
                          {.violations = {{.field = "tail_lines", .description = description}}}));
    return stream.get();
  }
  // Counted, not queued: a follower may hold its thread for days.
  if (open_.fetch_add(1) >= kMaxLogStreams) {
    open_.fetch_sub(1);
    stream->End(base::TokenError(
        base::ErrorToken::kOverflow,
        absl::StrFormat("%d log streams are open, and that is the limit; close one, or try again "
                        "later",
                        kMaxLogStreams)));
    return stream.get();
  }
  drain.Add(stream);
  pool_.Post([this, stream, &lifecycle, job_id = request.job_id(), options] {
    stream->Run(lifecycle, job_id, options);
    open_.fetch_sub(1);
  });
  return stream.get();
}

}  // namespace tao::api
