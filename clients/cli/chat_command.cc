#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <cmath>
#include <memory>

#include "clients/cli/chat_body.h"
#include "clients/cli/commands.h"
#include "clients/cli/sse_reader.h"
#include "clients/cli/status_report.h"
#include "clients/cli/terminal_text.h"
#include "server/base/strings.h"

namespace tao::cli {
namespace {

struct ChatOptions {
  std::string job_id;
  std::string network_arch;
  ChatQuestion question;
};

ExitCode Failed(const absl::Status& status) {
  PrintErr(absl::StrFormat("tao-inference: %s\n", OneLine(base::ToStd(status.message()))));
  return ExitCode::kRequestFailed;
}

// `content` for stdout. A video of tens of MB helps nobody on a terminal.
void PrintContent(std::string_view content) {
  constexpr size_t kLongestDataUrl = 1024;
  if (::isatty(STDOUT_FILENO) == 1 && content.starts_with("data:") &&
      content.size() > kLongestDataUrl) {
    PrintOut(absl::StrFormat("%s... (%d bytes; redirect the output to keep them)\n",
                             OneLine(content.substr(0, 64)), content.size()));
    return;
  }
  PrintOut(content);
  PrintOut("\n");
}

ExitCode PrintAnswer(std::string_view body) {
  const absl::StatusOr<std::string> content = AnswerContent(body);
  if (!content.ok()) return Failed(content.status());
  PrintContent(*content);
  return ExitCode::kOk;
}

ExitCode Ask(Session& session, const pb::InferRequest& request) {
  grpc::ClientContext context;
  const Interrupt::Scope scope(session.interrupt, &context);
  pb::InferResponse response;
  const grpc::Status status = session.stub->Infer(&context, request, &response);
  if (!status.ok()) return ReportStatus(status, session);
  if (!session.options.json) return PrintAnswer(response.body());
  PrintOut(response.body());
  PrintOut("\n");
  return ExitCode::kOk;
}

// Prints an answer while it arrives: events, or one JSON text where the container knows no events.
class StreamPrinter {
 public:
  explicit StreamPrinter(bool raw) : raw_(raw) {}

  // An error: the answer is no good, and what follows is of no use.
  absl::Status Take(const pb::StreamInferResponse& piece) {
    if (!piece.content_type().empty()) {
      events_ = base::AsciiLower(piece.content_type()).starts_with("text/event-stream");
    }
    if (raw_) {
      PrintOut(piece.data());
      return absl::OkStatus();
    }
    if (!events_) {
      body_ += piece.data();
      return absl::OkStatus();
    }
    for (const std::string& data : reader_.Add(piece.data())) {
      if (data == "[DONE]") done_ = true;
      if (done_) break;
      const absl::StatusOr<std::string> content = EventContent(data);
      if (!content.ok()) return content.status();
      PrintOut(*content);
    }
    return absl::OkStatus();
  }

  // The stream ended well as far as gRPC is concerned.
  ExitCode End() {
    if (raw_) return ExitCode::kOk;
    if (!events_) return PrintAnswer(body_);
    PrintOut("\n");
    if (done_) return ExitCode::kOk;
    return Failed(absl::AbortedError("the answer broke off: its stream ended without [DONE]"));
  }

 private:
  const bool raw_;
  bool events_ = false;
  bool done_ = false;
  std::string body_;
  SseReader reader_;
};

ExitCode AskStreaming(Session& session, const pb::InferRequest& request) {
  grpc::ClientContext context;
  const Interrupt::Scope scope(session.interrupt, &context);
  const auto stream = session.stub->StreamInfer(&context, request);
  StreamPrinter printer(session.options.json);
  pb::StreamInferResponse piece;
  absl::Status bad;
  while (bad.ok() && stream->Read(&piece)) bad = printer.Take(piece);
  if (!bad.ok()) {
    context.TryCancel();
    while (stream->Read(&piece)) continue;  // Finish wants a stream that was read to its end
    stream->Finish();
    PrintOut("\n");
    return Failed(bad);
  }
  if (const grpc::Status status = stream->Finish(); !status.ok()) {
    return ReportStatus(status, session);
  }
  return printer.End();
}

// JSON has no nan and no infinity.
CLI::Validator IsFinite() {
  return CLI::Validator(
      [](const std::string& text) -> std::string {
        double value = 0;
        if (absl::SimpleAtod(text, &value) && std::isfinite(value)) return "";
        return text + " is not a number";
      },
      "NUMBER");
}

std::string LeftText(const ChatSampling& sampling, const pb::Service& service) {
  const std::vector<std::string> fields(service.sampling_fields().begin(),
                                        service.sampling_fields().end());
  if (fields.empty()) return "Left to the container: every sampling value that is not set\n";
  const std::vector<std::string> left = LeftToContainer(sampling, fields);
  return absl::StrFormat("Left to the container: %s\n",
                         left.empty() ? "nothing" : OneLine(absl::StrJoin(left, ", ")));
}

ExitCode Chat(Session& session, const ChatOptions& options) {
  pb::ResolveRequest resolve;
  resolve.mutable_selector()->set_job_id(options.job_id);
  resolve.mutable_selector()->set_network_arch(options.network_arch);
  pb::ResolveResponse resolved;
  {
    grpc::ClientContext context;
    SetLimit(context, kAnswerLimit);
    const Interrupt::Scope scope(session.interrupt, &context);
    const grpc::Status status = session.stub->Resolve(&context, resolve, &resolved);
    if (!status.ok()) return ReportStatus(status, session);
  }
  const pb::Service& service = resolved.service();
  ChatQuestion question = options.question;
  question.model = service.network_arch();
  absl::StatusOr<std::string> body = ChatBody(question);
  if (!body.ok()) {
    PrintErr(absl::StrFormat("tao-inference: %s\n", OneLine(base::ToStd(body.status().message()))));
    return ExitCode::kUsage;
  }
  PrintErr(absl::StrFormat("Sending to job_id=%s arch=%s url=%s\n", OneLine(service.job_id()),
                           OneLine(service.network_arch()), OneLine(service.gateway_url())));
  PrintErr(LeftText(question.sampling, service));
  pb::InferRequest request;
  request.mutable_selector()->set_job_id(service.job_id());
  request.set_body(*std::move(body));
  return question.stream ? AskStreaming(session, request) : Ask(session, request);
}

}  // namespace

Command AddChat(CLI::App& app) {
  CLI::App* const parser = app.add_subcommand("chat", "Send one chat completion to a service");
  auto options = std::make_shared<ChatOptions>();
  ChatQuestion& question = options->question;
  parser->add_option("TEXT", question.text, "What to say")->required();
  parser->add_option("--job-id", options->job_id, "The service; without it the only one");
  parser->add_option("--network-arch", options->network_arch, "The only service of this arch");
  parser
      ->add_option("--image", question.images,
                   "http(s) or data: URL, or a path in the container; repeatable")
      ->take_all()
      ->allow_extra_args(false);
  parser->add_flag("--stream", question.stream, "Print the answer while it arrives");
  parser->add_option("--max-tokens", question.sampling.max_tokens, "Longest answer, in tokens")
      ->check(CLI::PositiveNumber);
  parser->add_option("--temperature", question.sampling.temperature, "Sampling temperature")
      ->check(IsFinite());
  parser->add_option("--top-p", question.sampling.top_p, "Nucleus sampling")->check(IsFinite());
  parser->add_option("--seed", question.sampling.seed, "Seed of the sampling");
  return {parser, [options](Session& session) { return Chat(session, *options); }};
}

}  // namespace tao::cli
