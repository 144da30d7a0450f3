#include "docker/reference-backend/life.h"

#include <array>

namespace tao::reference_backend {
namespace {

struct Step {
  Stage stage;
  Milliseconds duration;
};

std::array<Step, 4> StepsOf(const Behaviour& behaviour) {
  return {{{Stage::kInitializing, behaviour.initializing},
           {Stage::kNotLoaded, behaviour.not_loaded},
           {Stage::kDownloadingModel, behaviour.downloading_model},
           {Stage::kLoadingModel, behaviour.loading_model}}};
}

Stage FailureOf(Stage stage) {
  return stage == Stage::kInitializing ? Stage::kInitializationFailed : Stage::kLoadFailed;
}

}  // namespace

LifeState LifeAt(const Behaviour& behaviour, Milliseconds elapsed) {
  Milliseconds begin{0};
  for (const Step& step : StepsOf(behaviour)) {
    if (behaviour.stall_at == step.stage) return {step.stage, begin, 0};
    const Milliseconds end = begin + step.duration;
    if (elapsed < end) {
      if (step.stage != Stage::kDownloadingModel) return {step.stage, begin, 0};
      const int tenths = static_cast<int>((elapsed - begin) * 10 / step.duration);
      return {step.stage, begin + step.duration * tenths / 10, tenths * 10};
    }
    if (behaviour.fail_at == step.stage) return {FailureOf(step.stage), end, 0};
    begin = end;
  }
  return {Stage::kReady, begin, 100};
}

std::optional<Milliseconds> NextStageIn(const Behaviour& behaviour, Milliseconds elapsed) {
  Milliseconds begin{0};
  for (const Step& step : StepsOf(behaviour)) {
    if (behaviour.stall_at == step.stage) return std::nullopt;
    begin += step.duration;
    if (elapsed < begin) return begin - elapsed;
    if (behaviour.fail_at == step.stage) return std::nullopt;
  }
  return std::nullopt;
}

std::string ProgressMessage(const Behaviour& behaviour, const CommandLine& line,
                            const LifeState& state) {
  switch (state.stage) {
    case Stage::kInitializing:
      return "Initializing the server";
    case Stage::kNotLoaded:
      return "Initialized; the model is not loaded yet";
    case Stage::kDownloadingModel:
      return "Downloading " + line.model_path + ": " + std::to_string(state.percent) + " %";
    case Stage::kLoadingModel:
      return "Loading " + line.model_path;
    case Stage::kReady:
      return "Ready to serve requests";
    case Stage::kInitializationFailed:
      return "Initialization failed: " + behaviour.fail_message;
    case Stage::kLoadFailed:
      break;
  }
  return "Model loading failed: " + behaviour.fail_message;
}

}  // namespace tao::reference_backend
