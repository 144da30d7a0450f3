#include "docker/reference-backend/behaviour.h"

#include <charconv>
#include <functional>
#include <map>

namespace tao::reference_backend {
namespace {

constexpr std::string_view kPrefix = "REFERENCE_BACKEND_";
constexpr int64_t kMaxDurationMs = 24 * 3600 * 1000;
constexpr int64_t kMaxReplyBytes = int64_t{1} << 30;

// Takes one value; false when it cannot be. `expected` completes "expected ...".
struct Setting {
  std::string expected;
  std::function<bool(const std::string& value, Behaviour& behaviour)> set;
};

std::optional<int64_t> NumberIn(const std::string& text, int64_t lowest, int64_t highest) {
  int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < lowest || value > highest) return std::nullopt;
  return value;
}

Setting Switch(bool Behaviour::*field) {
  return {"0 or 1", [field](const std::string& value, Behaviour& behaviour) {
            behaviour.*field = value == "1";
            return value == "0" || value == "1";
          }};
}

template <typename Field>
Setting Duration(Field Behaviour::*field, int64_t lowest = 0) {
  return {"milliseconds from " + std::to_string(lowest) + " to " + std::to_string(kMaxDurationMs),
          [field, lowest](const std::string& value, Behaviour& behaviour) {
            const auto number = NumberIn(value, lowest, kMaxDurationMs);
            if (number) behaviour.*field = Milliseconds(*number);
            return number.has_value();
          }};
}

template <typename Field>
Setting Number(Field Behaviour::*field, int64_t lowest, int64_t highest) {
  return {"a number from " + std::to_string(lowest) + " to " + std::to_string(highest),
          [field, lowest, highest](const std::string& value, Behaviour& behaviour) {
            const auto number = NumberIn(value, lowest, highest);
            if (number) behaviour.*field = static_cast<int>(*number);
            return number.has_value();
          }};
}

// One of a few words, each with what it does.
Setting Word(std::map<std::string, std::function<void(Behaviour&)>> words) {
  std::string expected = "one of";
  for (const auto& [word, apply] : words) expected += " " + word;
  return {expected, [words = std::move(words)](const std::string& value, Behaviour& behaviour) {
            const auto found = words.find(value);
            if (found == words.end()) return false;
            found->second(behaviour);
            return true;
          }};
}

Setting StageWord(std::optional<Stage> Behaviour::*field, const std::vector<Stage>& stages) {
  std::map<std::string, std::function<void(Behaviour&)>> words;
  for (const Stage stage : stages) {
    words.emplace(StageName(stage),
                  [field, stage](Behaviour& behaviour) { behaviour.*field = stage; });
  }
  return Word(std::move(words));
}

template <typename Field>
Setting Text(Field Behaviour::*field) {
  return {"a text", [field](const std::string& value, Behaviour& behaviour) {
            behaviour.*field = value;
            return true;
          }};
}

const std::map<std::string, Setting, std::less<>>& Settings() {
  using B = Behaviour;
  static const std::map<std::string, Setting, std::less<>> settings = {
      {"KEEP_ALIVE", Switch(&B::keep_alive)},
      {"KEEP_ALIVE_IDLE_MS", Duration(&B::keep_alive_idle, 1)},
      {"HTTP_VERSION",
       Word({{"1.0", [](B& b) { b.http_1_0 = true; }}, {"1.1", [](B& b) { b.http_1_0 = false; }}})},
      {"SHAPE",
       Word({{"A", [](B& b) { b.shape_b = false; }}, {"B", [](B& b) { b.shape_b = true; }}})},
      {"SSE", Switch(&B::sse)},
      {"SSE_EVENTS", Number(&B::sse_events, 1, 1000000)},
      {"SSE_INTERVAL_MS", Duration(&B::sse_interval)},
      {"SSE_USAGE", Switch(&B::sse_usage)},
      {"PORT", Number(&B::port, 0, 65535)},
      {"INITIALIZING_MS", Duration(&B::initializing)},
      {"NOT_LOADED_MS", Duration(&B::not_loaded)},
      {"DOWNLOADING_MODEL_MS", Duration(&B::downloading_model)},
      {"LOADING_MODEL_MS", Duration(&B::loading_model)},
      {"FAIL_AT", StageWord(&B::fail_at, {Stage::kInitializing, Stage::kDownloadingModel,
                                          Stage::kLoadingModel})},
      {"FAIL_MESSAGE", Text(&B::fail_message)},
      {"STALL_AT", StageWord(&B::stall_at, {Stage::kInitializing, Stage::kNotLoaded,
                                            Stage::kDownloadingModel, Stage::kLoadingModel})},
      {"CRASH_AFTER_MS", Duration(&B::crash_after)},
      {"CRASH_AT_REQUEST", Number(&B::crash_at_request, 1, 1000000)},
      {"CRASH_EXIT_CODE", Number(&B::crash_exit_code, 0, 255)},
      {"MINUTE_MS", Duration(&B::minute, 1)},
      {"ANSWER_STATUS", Word({{"202", [](B& b) { b.answer_status = 202; }},
                              {"400", [](B& b) { b.answer_status = 400; }},
                              {"500", [](B& b) { b.answer_status = 500; }},
                              {"503", [](B& b) { b.answer_status = 503; }}})},
      {"REPLY_BYTES", Number(&B::reply_bytes, 1, kMaxReplyBytes)},
      {"REPLY_DELAY_MS", Duration(&B::reply_delay)},
      {"REPLY_PAUSE_MS", Duration(&B::reply_pause)},
      {"CLOSE_AT", Word({{"before_answer", [](B& b) { b.close_before_answer = true; }},
                         {"mid_answer", [](B& b) { b.close_mid_answer = true; }}})},
      {"LIVENESS_JOB_ID", Text(&B::liveness_job_id)},
      {"LOG", Text(&B::log_path)},
  };
  return settings;
}

EarlyExit Wrong(const std::string& name, const std::string& why) {
  return {2, "reference-backend: error: environment variable " + name + ": " + why +
                 "; docker/reference-backend/README.md lists them all\n"};
}

}  // namespace

std::string_view StageName(Stage stage) {
  switch (stage) {
    case Stage::kInitializing:
      return "initializing";
    case Stage::kNotLoaded:
      return "not_loaded";
    case Stage::kDownloadingModel:
      return "downloading_model";
    case Stage::kLoadingModel:
      return "loading_model";
    case Stage::kReady:
      return "ready";
    case Stage::kInitializationFailed:
    case Stage::kLoadFailed:
      break;
  }
  return "error";
}

std::variant<Behaviour, EarlyExit> ParseBehaviour(const Environment& environment) {
  Behaviour behaviour;
  for (const auto& [name, value] : environment) {
    if (name.compare(0, kPrefix.size(), kPrefix) != 0) continue;
    const auto setting = Settings().find(std::string_view(name).substr(kPrefix.size()));
    if (setting == Settings().end()) return Wrong(name, "there is none of this name");
    if (!setting->second.set(value, behaviour)) {
      return Wrong(name, "'" + value + "': expected " + setting->second.expected);
    }
  }
  if (behaviour.http_1_0 && behaviour.keep_alive) {
    return Wrong("REFERENCE_BACKEND_KEEP_ALIVE", "goes with HTTP_VERSION 1.1 only");
  }
  return behaviour;
}

}  // namespace tao::reference_backend
