#include "docker/reference-backend/command_line.h"

#include "docker/reference-backend/argument_parser.h"
#include "docker/reference-backend/job_payload.h"

namespace tao::reference_backend {
namespace {

using Result = std::variant<CommandLine, EarlyExit>;
using Kind = Flag::Kind;

constexpr char kHuggingFaceModule[] =
    "nvidia_tao_core.microservices.handlers.huggingface_inference_microservice_server";

// The tail of `words` from `first` on.
std::vector<std::string> From(const std::vector<std::string>& words, size_t first) {
  return {words.begin() + static_cast<std::ptrdiff_t>(std::min(first, words.size())), words.end()};
}

// Reads the flags that more than one arch has, where they were given.
std::optional<std::string> ReadPort(const Arguments& arguments, CommandLine& line) {
  const long long port = arguments.Integer("--port");
  if (port < 1 || port > 65535) {
    return "argument --port: '" + arguments.Text("--port") + "' is no port from 1 to 65535";
  }
  line.port = static_cast<uint16_t>(port);
  return std::nullopt;
}

std::optional<std::string> ReadIdleTimeout(const Arguments& arguments, const std::string& flag,
                                           CommandLine& line) {
  if (!arguments.Has(flag)) return std::nullopt;
  line.idle_timeout_minutes = arguments.Number(flag);
  if (line.idle_timeout_minutes > 0) return std::nullopt;
  return "argument " + flag + ": '" + arguments.Text(flag) + "' is not greater than 0";
}

std::optional<std::string> ReadPayloads(const Arguments& arguments, CommandLine& line) {
  const auto job = ParseJob(arguments.Text("--job"));
  if (const auto* error = std::get_if<PayloadError>(&job)) {
    return "argument --job: " + error->message;
  }
  const auto& payload = std::get<JobPayload>(job);
  const std::string env = arguments.Text("--docker_env_vars");
  if (const auto error = CheckEnvPayload(env, payload.job_id)) {
    return "argument --docker_env_vars: " + error->message;
  }
  line.job_id = payload.job_id;
  line.model_path = payload.model_path;
  line.network_arch = payload.neural_network_name;
  return std::nullopt;
}

// cosmos-rl-inference-microservice --job JOB --docker_env_vars ENV. It has no port flag.
Result ParseCosmosRl(const std::vector<std::string>& words) {
  const ArgumentParser parser(
      "cosmos-rl-inference-microservice",
      {{"--job", Kind::kText, true}, {"--docker_env_vars", Kind::kText, true}});
  const auto parsed = parser.Parse(From(words, 1));
  if (const auto* exit = std::get_if<EarlyExit>(&parsed)) return *exit;
  CommandLine line;
  if (const auto wrong = ReadPayloads(std::get<Arguments>(parsed), line)) {
    return parser.Error(*wrong);
  }
  if (line.network_arch != "cosmos-rl") {
    return parser.Error("argument --job: \"neural_network_name\" is '" + line.network_arch +
                        "', and this program serves cosmos-rl");
  }
  return line;
}

// python -m MODULE --port PORT --job JOB --docker_env_vars ENV [...]. The server takes any model of
// the hub, so any neural_network_name.
Result ParseDataServices(const std::vector<std::string>& words) {
  const ArgumentParser parser(std::string("python -m ") + kHuggingFaceModule,
                              {{"--port", Kind::kInteger, true},
                               {"--job", Kind::kText, true},
                               {"--docker_env_vars", Kind::kText, true},
                               {"--idle_timeout_minutes", Kind::kInteger, false},
                               {"--disable_auto_deletion", Kind::kSwitch, false}});
  if (words.size() < 2 || words[1] != "-m") {
    return parser.Error("expected -m and a module's name first");
  }
  if (words.size() < 3 || words[2] != kHuggingFaceModule) {
    return parser.Error("no module named '" + (words.size() < 3 ? "" : words[2]) + "' here");
  }
  const auto parsed = parser.Parse(From(words, 3));
  if (const auto* exit = std::get_if<EarlyExit>(&parsed)) return *exit;
  const auto& arguments = std::get<Arguments>(parsed);
  CommandLine line;
  if (const auto wrong = ReadPort(arguments, line)) return parser.Error(*wrong);
  if (const auto wrong = ReadPayloads(arguments, line)) return parser.Error(*wrong);
  if (const auto wrong = ReadIdleTimeout(arguments, "--idle_timeout_minutes", line)) {
    return parser.Error(*wrong);
  }
  line.auto_deletion = !arguments.Has("--disable_auto_deletion");
  return line;
}

// --checkpoint-path PATH or --model KEY, exactly one.
std::optional<std::string> ReadCheckpoint(const Arguments& arguments, CommandLine& line) {
  const bool has_path = arguments.Has("--checkpoint-path");
  const bool has_model = arguments.Has("--model");
  if (has_path && has_model) {
    return "argument --model: not allowed with argument --checkpoint-path";
  }
  if (!has_path && !has_model) {
    return "one of the arguments --checkpoint-path --model is required";
  }
  line.model_path = arguments.Text(has_path ? "--checkpoint-path" : "--model");
  if (has_path && line.model_path.substr(0, 1) != "/") {
    return "argument --checkpoint-path: '" + line.model_path + "' is no absolute path";
  }
  if (has_model && (line.model_path.empty() || line.model_path.find('/') != std::string::npos)) {
    return "argument --model: invalid choice: '" + line.model_path +
           "' (choose a registered key such as base-2b, base-14b, auto-multiview)";
  }
  return std::nullopt;
}

// cosmos_predict inference_microservice start CHECKPOINT --output-dir DIR --port PORT [...].
Result ParseCosmosPredict(const std::vector<std::string>& words) {
  const ArgumentParser parser("cosmos_predict inference_microservice start",
                              {{"--checkpoint-path", Kind::kText, false},
                               {"--model", Kind::kText, false},
                               {"--output-dir", Kind::kText, true},
                               {"--port", Kind::kInteger, true},
                               {"--idle-timeout-minutes", Kind::kNumber, false},
                               {"--context-parallel-size", Kind::kInteger, false},
                               {"--disable-guardrails", Kind::kSwitch, false},
                               {"--offload-guardrail-models", Kind::kSwitch, false},
                               {"--offload-diffusion-model", Kind::kSwitch, false},
                               {"--pid-file", Kind::kText, false}});
  const char* const commands[] = {"inference_microservice", "start"};
  for (size_t i = 0; i < 2; ++i) {
    if (words.size() > i + 1 && words[i + 1] == commands[i]) continue;
    const std::string given = words.size() > i + 1 ? words[i + 1] : "";
    return parser.Error("argument command: invalid choice: '" + given + "' (choose from '" +
                        commands[i] + "')");
  }
  const auto parsed = parser.Parse(From(words, 3));
  if (const auto* exit = std::get_if<EarlyExit>(&parsed)) return *exit;
  const auto& arguments = std::get<Arguments>(parsed);
  CommandLine line;
  line.network_arch = "cosmos-predict2.5";
  if (const auto wrong = ReadCheckpoint(arguments, line)) return parser.Error(*wrong);
  if (arguments.Text("--output-dir").substr(0, 1) != "/") {
    return parser.Error("argument --output-dir: '" + arguments.Text("--output-dir") +
                        "' is no absolute path");
  }
  if (const auto wrong = ReadPort(arguments, line)) return parser.Error(*wrong);
  if (const auto wrong = ReadIdleTimeout(arguments, "--idle-timeout-minutes", line)) {
    return parser.Error(*wrong);
  }
  if (arguments.Has("--context-parallel-size") &&
      arguments.Integer("--context-parallel-size") < 1) {
    return parser.Error("argument --context-parallel-size: '" +
                        arguments.Text("--context-parallel-size") + "' is less than 1");
  }
  line.pid_file = arguments.Text("--pid-file");
  return line;
}

}  // namespace

Result ParseCommandLine(const std::vector<std::string>& words) {
  const std::string path = words.empty() ? "" : words[0];
  const std::string name = path.substr(path.rfind('/') + 1);  // npos + 1 is 0: the whole of it
  if (name == "cosmos-rl-inference-microservice") return ParseCosmosRl(words);
  if (name == "python") return ParseDataServices(words);
  if (name == "cosmos_predict") return ParseCosmosPredict(words);
  if (name == "reference-backend" && words.size() > 1) return ParseCommandLine(From(words, 1));
  return EarlyExit{
      2,
      "usage: reference-backend NAME ARGUMENTS..., or a link to it called NAME; NAME is one of\n"
      "  cosmos-rl-inference-microservice   the command of cosmos-rl\n"
      "  python                             the command of tao-dataservices\n"
      "  cosmos_predict                     the command of cosmos-predict2.5\n"
      "reference-backend: error: no arch has a program called '" +
          name + "'\n"};
}

}  // namespace tao::reference_backend
