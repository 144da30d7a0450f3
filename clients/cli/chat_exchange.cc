#include "clients/cli/chat_exchange.h"

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <unistd.h>

#include <algorithm>

#include "clients/cli/answer_json.h"
#include "clients/cli/answer_sink.h"
#include "clients/cli/service_text.h"
#include "clients/cli/sse_reader.h"
#include "clients/cli/status_report.h"
#include "clients/cli/terminal_text.h"
#include "server/base/strings.h"

namespace tao::cli {
namespace {

ExitCode Failed(const absl::Status& status) {
  PrintErr(absl::StrFormat("tao-inference: %s\n", OneLine(base::ToStd(status.message()))));
  return ExitCode::kRequestFailed;
}

// "job-id-of-the-service" of a file that holds its answer; another tool chose the job_id.
std::string FileStem(const pb::Service& service) {
  std::string stem = "answer-";
  for (const char c : service.job_id()) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    if (plain && stem.size() < 60) stem += c;
  }
  return stem + "-" + absl::FormatTime("%Y%m%d-%H%M%S", absl::Now(), absl::UTCTimeZone());
}

// Prints an answer while it arrives: events, or one JSON text where the container knows no events.
class AnswerPrinter {
 public:
  AnswerPrinter(const Session& session, const ChatQuestion& question)
      : raw_(session.options.json),
        sink_({.output = question.output,
               .on_terminal = ::isatty(STDOUT_FILENO) == 1,
               .stem = FileStem(question.service)},
              PrintOut, PrintErr) {}

  bool begun() const { return begun_; }

  // An error: the answer is no good, and what follows is of no use.
  absl::Status Take(const pb::StreamInferResponse& piece, ReceivedLine& received) {
    begun_ = true;
    for (const std::string& notice : piece.notices()) {
      PrintErr(absl::StrFormat("Note: %s\n", OneLine(notice)));
    }
    if (!piece.content_type().empty()) {
      events_ = base::AsciiLower(piece.content_type()).starts_with("text/event-stream");
    }
    if (raw_) {
      PrintOut(piece.data());
      ends_line_ = piece.data().empty() ? ends_line_ : piece.data().back() == '\n';
      return absl::OkStatus();
    }
    if (!events_) {
      body_ += piece.data();
      received.Add(piece.data().size(), absl::Now());
      return absl::OkStatus();
    }
    for (const std::string& data : reader_.Add(piece.data())) {
      if (data == "[DONE]") done_ = true;
      if (done_) break;
      const absl::StatusOr<std::string> content = EventContent(data);
      if (!content.ok()) return content.status();
      sink_.Add(*content);
    }
    return absl::OkStatus();
  }

  // The stream ended well as far as gRPC is concerned.
  absl::Status End() {
    if (raw_) {
      if (!ends_line_) PrintOut("\n");
      return absl::OkStatus();
    }
    if (!events_) {
      const absl::StatusOr<std::string> content = AnswerContent(body_);
      if (!content.ok()) return content.status();
      body_ = {};
      sink_.Add(*content);
      return sink_.End();
    }
    if (done_) return sink_.End();
    sink_.Break();
    return absl::AbortedError("the answer broke off: its stream ended without [DONE]");
  }

  void Break() { sink_.Break(); }

 private:
  const bool raw_;
  bool begun_ = false;
  bool events_ = false;
  bool done_ = false;
  bool ends_line_ = false;
  std::string body_;
  SseReader reader_;
  AnswerSink sink_;
};

struct Outcome {
  grpc::Status status;  // of the call
  absl::Status answer;  // of what came
  bool begun = false;   // something came
};

Outcome AskOnce(Session& session, const ChatQuestion& question) {
  grpc::ClientContext context;
  const Interrupt::Scope scope(session.interrupt, &context);
  const auto stream = session.stub->StreamInfer(&context, question.request);
  AnswerPrinter printer(session, question);
  Outcome outcome;
  {
    ReceivedLine received(IsTerminal(STDERR_FILENO), PrintErr);
    pb::StreamInferResponse piece;
    while (outcome.answer.ok() && stream->Read(&piece)) {
      outcome.answer = printer.Take(piece, received);
    }
    if (!outcome.answer.ok()) {
      context.TryCancel();
      while (stream->Read(&piece)) continue;  // Finish wants a stream that was read to its end
    }
    outcome.status = stream->Finish();
  }
  outcome.begun = printer.begun();
  if (!outcome.answer.ok()) {
    outcome.status = grpc::Status::OK;  // CANCELLED, by us
    printer.Break();
  } else if (outcome.status.ok()) {
    outcome.answer = printer.End();
  } else {
    printer.Break();
  }
  return outcome;
}

// What is known of a service that FAILED: the error has its reason, the record its last log lines.
void SayLastLogLines(Session& session, const std::string& job_id) {
  pb::ResolveRequest request;
  request.mutable_selector()->set_job_id(job_id);
  pb::ResolveResponse resolved;
  grpc::ClientContext context;
  SetLimit(context, kAnswerLimit);
  const Interrupt::Scope scope(session.interrupt, &context);
  if (!session.stub->Resolve(&context, request, &resolved).ok()) return;
  if (resolved.service().last_log_lines_size() > 0) PrintErr(FailureReport(resolved.service()));
}

}  // namespace

ExitCode Exchange(Session& session, const ChatQuestion& question) {
  const absl::Time give_up = absl::Now() + question.wait;
  std::string said;
  for (;;) {
    const Outcome outcome = AskOnce(session, question);
    if (!outcome.answer.ok()) return Failed(outcome.answer);
    if (outcome.status.ok()) return ExitCode::kOk;
    const std::optional<absl::Duration> retry = RetryAfter(outcome.status);
    const absl::Time now = absl::Now();
    if (outcome.begun || !retry.has_value() || now >= give_up) {
      const ExitCode code = ReportStatus(outcome.status, session);
      if (ReasonOf(outcome.status) == "SERVICE_FAILED") {
        SayLastLogLines(session, question.service.job_id());
      }
      return code;
    }
    const absl::Duration pause = std::min(std::max(*retry, absl::Milliseconds(100)), give_up - now);
    if (std::string why = OneLine(outcome.status.error_message()); why != said) {
      said = std::move(why);
      PrintErr(absl::StrFormat("%s\nTrying again, for up to %s (--wait)\n", said,
                               absl::FormatDuration(question.wait)));
    }
    absl::SleepFor(pause);  // Ctrl-C ends the process meanwhile
  }
}

}  // namespace tao::cli
