#include "docker/reference-backend/health_reply.h"

#include <cmath>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string_view>

namespace tao::reference_backend {
namespace {

using nlohmann::json;

// As Flask's jsonify prints it: keys sorted, ASCII only, a newline at the end.
std::string Printed(const json& body) {
  return body.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace) + "\n";
}

// 2026-01-31T12:00:00.250000, as datetime.isoformat() writes it; UTC.
std::string IsoTime(Activity::System::time_point time) {
  using std::chrono::duration_cast;
  const auto since_epoch = time.time_since_epoch();
  const std::time_t seconds = duration_cast<std::chrono::seconds>(since_epoch).count();
  const auto micros = duration_cast<std::chrono::microseconds>(since_epoch).count() % 1000000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char date[32];
  char text[64];
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text, sizeof text, "%s.%06d", date, static_cast<int>(micros));
  return text;
}

// What the two readiness shapes and the chat refusals call a stage that is not ready.
struct Words {
  int status_b;
  std::string_view reason;  // shape A
  std::string_view type;    // shape B
  int chat_status;
};

Words WordsOf(Stage stage) {
  switch (stage) {
    case Stage::kInitializing:
      return {202, "server_initializing", "server_initializing", 202};
    case Stage::kNotLoaded:
      return {503, "model_not_loaded", "model_not_ready", 503};
    case Stage::kInitializationFailed:
      return {503, "initialization_failed", "initialization_error", 503};
    case Stage::kLoadFailed:
      return {503, "model_load_failed", "model_load_error", 503};
    case Stage::kDownloadingModel:
    case Stage::kLoadingModel:
    case Stage::kReady:
      break;
  }
  return {202, "model_loading", "model_loading", 202};
}

// The stages still to come, as liveness' progress lists them.
json RemainingSteps(Stage stage) {
  json steps = json::array();
  for (const Stage later : {Stage::kDownloadingModel, Stage::kLoadingModel}) {
    if (stage < later) steps.push_back(StageName(later));
  }
  return steps;
}

json Progress(const Behaviour& behaviour, const CommandLine& line, const Activity& activity,
              const LifeState& state) {
  json details = {{"model_path", line.model_path}};
  if (state.stage == Stage::kDownloadingModel) details["percent"] = state.percent;
  if (StageName(state.stage) == "error") details["error"] = behaviour.fail_message;
  // The container has no word of its own for "initialised, not loaded".
  const Stage shown = state.stage == Stage::kNotLoaded ? Stage::kInitializing : state.stage;
  return {{"stage", StageName(shown)},
          {"message", ProgressMessage(behaviour, line, state)},
          {"remaining_steps", RemainingSteps(state.stage)},
          {"details", details},
          {"timestamp", IsoTime(activity.TimeAt(state.changed))}};
}

bool IsLoading(Stage stage) {
  return stage == Stage::kDownloadingModel || stage == Stage::kLoadingModel;
}

}  // namespace

JsonReply LivenessReply(const Behaviour& behaviour, const CommandLine& line,
                        const Activity& activity) {
  const LifeState state = LifeAt(behaviour, activity.Elapsed());
  json timeout = line.idle_timeout_minutes;
  if (std::floor(line.idle_timeout_minutes) == line.idle_timeout_minutes) {
    timeout = static_cast<int64_t>(line.idle_timeout_minutes);
  }
  const auto idle = activity.IdleSince(Milliseconds(0));
  return {
      200,
      Printed({{"status", "healthy"},
               {"model_loaded", state.stage == Stage::kReady},
               {"model_loading", IsLoading(state.stage)},
               {"server_initializing", state.stage == Stage::kInitializing},
               {"job_id", behaviour.liveness_job_id.value_or(line.job_id)},
               {"model_type", line.network_arch},
               {"last_request_time", IsoTime(activity.LastRequest())},
               {"idle_time_minutes", std::chrono::duration<double>(idle).count() /
                                         std::chrono::duration<double>(behaviour.minute).count()},
               {"idle_timeout_minutes", timeout},
               {"auto_deletion_enabled", line.auto_deletion},
               {"progress", Progress(behaviour, line, activity, state)}})};
}

JsonReply ReadinessReply(const Behaviour& behaviour, const CommandLine& line,
                         const LifeState& state) {
  const std::string message = ProgressMessage(behaviour, line, state);
  if (state.stage == Stage::kReady) {
    if (behaviour.shape_b) return {200, Printed(json::object({{"ready", true}}))};
    return {
        200,
        Printed({{"status", "ready"}, {"message", message}, {"model_type", line.network_arch}})};
  }
  const Words words = WordsOf(state.stage);
  if (behaviour.shape_b) return ErrorReply(words.status_b, std::string(words.type), message);
  return {503, Printed({{"status", "not_ready"}, {"reason", words.reason}, {"message", message}})};
}

JsonReply StatusReply(const Behaviour& behaviour, const CommandLine& line, const LifeState& state) {
  return {200, Printed({{"job_id", line.job_id},
                        {"model_type", line.network_arch},
                        {"model_path", line.model_path},
                        {"stage", StageName(state.stage)},
                        {"message", ProgressMessage(behaviour, line, state)}})};
}

JsonReply ErrorReply(int status, const std::string& type, const std::string& message) {
  json body;
  body["error"]["message"] = message;
  body["error"]["type"] = type;
  return {status, Printed(body)};
}

std::optional<JsonReply> ChatRefusal(const Behaviour& behaviour, const CommandLine& line,
                                     const LifeState& state) {
  if (state.stage == Stage::kReady) return std::nullopt;
  const Words words = WordsOf(state.stage);
  return ErrorReply(words.chat_status, std::string(words.type),
                    ProgressMessage(behaviour, line, state));
}

}  // namespace tao::reference_backend
