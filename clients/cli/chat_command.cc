#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/time/clock.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "clients/cli/answer_sink.h"
#include "clients/cli/chat_exchange.h"
#include "clients/cli/chat_prompt.h"
#include "clients/cli/commands.h"
#include "clients/cli/list_all.h"
#include "clients/cli/media_source.h"
#include "clients/cli/sampling_flags.h"
#include "clients/cli/seconds_option.h"
#include "clients/cli/status_report.h"
#include "clients/cli/terminal_text.h"
#include "server/base/strings.h"

namespace tao::cli {
namespace {

constexpr char kExamples[] =
    "Sampling values: --FIELD VALUE for each field of the service's network_arch (--max-tokens "
    "100),\n"
    "by the names that the daemon gives (GetRequestSchema). Those not given are asked for on a\n"
    "terminal; elsewhere --accept-defaults takes the defaults, or nothing is sent.\n"
    "\n"
    "Examples:\n"
    "  tao-inference chat \"What moves?\" --image https://example.com/street.jpg\n"
    "  tao-inference chat \"What moves?\" --video drive.mp4 --accept-defaults\n"
    "  tao-inference chat \"A red car\" --network-arch cosmos-predict2.5 --max-tokens 77 \\\n"
    "    --accept-defaults --output car.mp4\n"
    "  tao-inference chat \"Hello\" --accept-defaults --wait 10m --json";

struct ChatOptions {
  const CLI::App* parser = nullptr;
  std::string text;
  std::string system;
  std::string job_id;
  std::string network_arch;
  std::vector<std::string> images, videos;
  std::string output;
  std::string wait = "5m";
  bool accept_defaults = false;
  bool stream = false;
  bool no_stream = false;
};

// What a step of the way gives, or how the program ends.
template <typename Value>
struct Step {
  std::optional<Value> value;
  ExitCode code = ExitCode::kOk;

  Step(Value found) : value(std::move(found)) {}
  Step(ExitCode end) : code(end) {}
};

ExitCode WrongUse(const absl::Status& status) {
  PrintErr(absl::StrFormat("tao-inference: %s\n", OneLine(base::ToStd(status.message()))));
  return ExitCode::kUsage;
}

ExitCode NothingSent() {
  PrintErr("Nothing was sent.\n");
  return ExitCode::kUsage;
}

// Those that a request without a job_id could mean.
bool IsCandidate(const pb::Service& service) {
  switch (service.phase()) {
    case pb::PHASE_STARTING:
    case pb::PHASE_INITIALIZING:
    case pb::PHASE_LOADING:
    case pb::PHASE_READY:
    case pb::PHASE_UNREACHABLE:
      return true;
    default:
      return false;
  }
}

Step<pb::Service> FindService(Session& session, const ChatOptions& options) {
  pb::ResolveRequest request;
  request.mutable_selector()->set_job_id(options.job_id);
  request.mutable_selector()->set_network_arch(options.network_arch);
  pb::ResolveResponse resolved;
  grpc::Status status;
  {
    grpc::ClientContext context;
    SetLimit(context, kAnswerLimit);
    const Interrupt::Scope scope(session.interrupt, &context);
    status = session.stub->Resolve(&context, request, &resolved);
  }
  if (status.ok()) return resolved.service();
  if (ReasonOf(status) != "AMBIGUOUS_SERVICE" || !CanAsk()) return ReportStatus(status, session);
  pb::ListResponse all;
  if (const grpc::Status listed = ListAll(session, all); !listed.ok()) {
    return ReportStatus(listed, session);
  }
  std::vector<pb::Service> candidates;
  for (const pb::Service& service : all.services()) {
    const bool of_arch =
        options.network_arch.empty() || service.network_arch() == options.network_arch;
    if (of_arch && IsCandidate(service)) candidates.push_back(service);
  }
  if (candidates.size() < 2) return ReportStatus(status, session);  // it has just changed
  std::optional<pb::Service> chosen = AskWhichService(candidates);
  if (!chosen.has_value()) return NothingSent();
  return *std::move(chosen);
}

// Without a value for an arch that the daemon has no schema of.
Step<std::optional<pb::GetRequestSchemaResponse>> FindSchema(Session& session,
                                                             const pb::Service& service) {
  pb::GetRequestSchemaRequest request;
  request.set_job_id(service.job_id());
  pb::GetRequestSchemaResponse schema;
  grpc::ClientContext context;
  SetLimit(context, kAnswerLimit);
  const Interrupt::Scope scope(session.interrupt, &context);
  const grpc::Status status = session.stub->GetRequestSchema(&context, request, &schema);
  if (status.ok()) return std::optional(std::move(schema));
  if (ReasonOf(status) == "ARCH_NOT_FOUND") return std::optional<pb::GetRequestSchemaResponse>();
  return ReportStatus(status, session);
}

ExitCode SayMissing(const std::string& network_arch, const std::vector<pb::SamplingField>& fields) {
  PrintErr(absl::StrFormat(
      "tao-inference: these sampling values of %s are not set, and there is no terminal to ask on\n"
      "%s  Set them, or take their defaults with --accept-defaults. Nothing was sent.\n",
      OneLine(network_arch), FieldTable(fields)));
  return ExitCode::kUsage;
}

std::vector<std::string> OwnFlags(const CLI::App& parser) {
  std::vector<std::string> names;
  for (const CLI::App* app = &parser; app != nullptr; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return names;
}

// The value of every field that applies: from flags, the defaults, or whoever is asked.
Step<std::vector<pb::SamplingValue>> ChooseSampling(const ChatOptions& options,
                                                    const std::vector<SamplingFlag>& flags,
                                                    const pb::GetRequestSchemaResponse& schema) {
  absl::StatusOr<std::vector<pb::SamplingValue>> values =
      ToSampling(flags, schema, OwnFlags(*options.parser));
  if (!values.ok()) return WrongUse(values.status());
  const std::vector<pb::SamplingField> missing = MissingFields(schema, *values);
  if (missing.empty()) return *std::move(values);
  if (options.accept_defaults) {
    for (const pb::SamplingField& field : missing) values->push_back(field.default_value());
    return *std::move(values);
  }
  if (!CanAsk()) return SayMissing(schema.network_arch(), missing);
  std::optional<std::vector<pb::SamplingValue>> asked =
      AskForSampling(schema.network_arch(), missing);
  if (!asked.has_value()) return NothingSent();
  values->insert(values->end(), asked->begin(), asked->end());
  return *std::move(values);
}

// The messages of the request.
absl::Status AddMessages(const ChatOptions& options, const pb::GetRequestSchemaResponse& schema,
                         pb::ChatRequest& chat) {
  if (!options.system.empty()) {
    pb::ChatMessage& system = *chat.add_messages();
    system.set_role("system");
    system.add_content()->set_text(options.system);
  }
  pb::ChatMessage& user = *chat.add_messages();
  user.set_role("user");
  for (const std::string& name : options.images) {
    absl::StatusOr<pb::Media> image = ReadMedia(name, MediaKind::kImage, schema);
    if (!image.ok()) return image.status();
    *user.add_content()->mutable_image() = *std::move(image);
  }
  for (const std::string& name : options.videos) {
    absl::StatusOr<pb::Media> video = ReadMedia(name, MediaKind::kVideo, schema);
    if (!video.ok()) return video.status();
    *user.add_content()->mutable_video() = *std::move(video);
  }
  user.add_content()->set_text(options.text);
  return absl::OkStatus();
}

void SayWhatIsSent(const pb::Service& service, const std::vector<pb::SamplingValue>& values,
                   bool has_schema) {
  PrintErr(absl::StrFormat("Sending to job_id=%s arch=%s url=%s\n", OneLine(service.job_id()),
                           OneLine(service.network_arch()), OneLine(service.gateway_url())));
  std::vector<std::string> words;
  for (const pb::SamplingValue& value : values) {
    words.push_back(OneLine(value.name()) + "=" + ValueText(value));
  }
  if (!words.empty()) PrintErr("Sampling: " + absl::StrJoin(words, ", ") + "\n");
  if (!has_schema) PrintErr("Left to the container: every sampling value that is not set\n");
}

ExitCode Chat(Session& session, const ChatOptions& options, const CLI::App& app) {
  const absl::StatusOr<std::vector<SamplingFlag>> flags =
      ReadSamplingFlags(app.remaining(/*recurse=*/true));
  if (!flags.ok()) return WrongUse(flags.status());
  if (!options.output.empty()) {
    if (session.options.json) {
      return WrongUse(absl::InvalidArgumentError("--json and --output exclude each other"));
    }
    if (const absl::Status usable = CheckOutput(options.output); !usable.ok()) {
      return WrongUse(usable);
    }
  }
  const Step<pb::Service> service = FindService(session, options);
  if (!service.value.has_value()) return service.code;
  const auto found = FindSchema(session, *service.value);
  if (!found.value.has_value()) return found.code;
  const bool has_schema = found.value->has_value();
  const pb::GetRequestSchemaResponse schema =
      has_schema ? **found.value : pb::GetRequestSchemaResponse();

  ChatQuestion question{.service = *service.value,
                        .output = options.output,
                        .wait = ParseSeconds(options.wait).value_or(absl::ZeroDuration())};
  pb::ChatRequest& chat = *question.request.mutable_chat();
  // Files before questions: nobody should answer them for nothing.
  if (const absl::Status read = AddMessages(options, schema, chat); !read.ok()) {
    return WrongUse(read);
  }
  std::vector<pb::SamplingValue> values;
  if (has_schema) {
    Step<std::vector<pb::SamplingValue>> chosen = ChooseSampling(options, *flags, schema);
    if (!chosen.value.has_value()) return chosen.code;
    values = *std::move(chosen.value);
  } else {
    values = GuessSampling(*flags);
  }
  SayWhatIsSent(question.service, values, has_schema);
  chat.mutable_sampling()->Assign(values.begin(), values.end());
  // A video is one string: events bring nothing sooner. Raw output is what the container gives
  // unless events were asked for.
  const bool video = schema.media().answer() == pb::MediaRules::ANSWER_VIDEO_DATA_URI;
  chat.set_stream(options.stream || (!options.no_stream && !video && !session.options.json));
  question.request.mutable_selector()->set_job_id(question.service.job_id());
  return Exchange(session, question);
}

}  // namespace

Command AddChat(CLI::App& app) {
  CLI::App* const parser = app.add_subcommand("chat", "Send one chat completion to a service");
  auto options = std::make_shared<ChatOptions>();
  options->parser = parser;
  parser->add_option("TEXT", options->text, "What to say")->required();
  parser->add_option("--job-id", options->job_id, "The service; without it the only one");
  parser->add_option("--network-arch", options->network_arch, "The only service of this arch");
  parser
      ->add_option("--image", options->images,
                   "A file here, an http(s) URL, or an absolute path in the container; repeatable")
      ->take_all()
      ->allow_extra_args(false);
  parser->add_option("--video", options->videos, "The same for a video; repeatable")
      ->take_all()
      ->allow_extra_args(false);
  parser->add_option("--system", options->system, "The system prompt");
  parser->add_flag("--accept-defaults", options->accept_defaults,
                   "Take the default of each sampling value that is not set, and do not ask");
  parser->add_option("--output", options->output, "File for the answer: a video, or its text");
  CLI::Option* const stream =
      parser->add_flag("--stream", options->stream,
                       "Ask the container for its answer while it writes: the default, but for "
                       "videos and --json");
  parser->add_flag("--no-stream", options->no_stream, "Ask for the answer as a whole")
      ->excludes(stream);
  parser
      ->add_option("--wait", options->wait,
                   "How long to try again while the model loads or the service is busy")
      ->check(IsSeconds())
      ->capture_default_str();
  parser->footer(kExamples);
  return {parser, [options, &app](Session& session) { return Chat(session, *options, app); },
          /*takes_unknown_flags=*/true};
}

}  // namespace tao::cli
