#include "docker/reference-backend/supervise.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <optional>

#include "docker/reference-backend/handler.h"
#include "docker/reference-backend/life.h"

namespace tao::reference_backend {
namespace {

// Waits for the next signal that ends the program, at most `limit`; without one, for ever.
bool SignalWithin(const sigset_t& signals, std::optional<Milliseconds> limit) {
  int got = -1;
  if (!limit) {
    got = ::sigwaitinfo(&signals, nullptr);
  } else {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*limit);
    const std::timespec timeout{seconds.count(),
                                std::chrono::nanoseconds(*limit - seconds).count()};
    got = ::sigtimedwait(&signals, nullptr, &timeout);
  }
  return got > 0;
}

// How long until the container has been ready and without a request for its idle timeout; nothing
// when it never shuts itself down for that, or is not ready.
std::optional<Milliseconds> IdleTimeLeft(const Behaviour& behaviour, const CommandLine& line,
                                         const Activity& activity) {
  const LifeState state = LifeAt(behaviour, activity.Elapsed());
  if (!line.auto_deletion || state.stage != Stage::kReady) return std::nullopt;
  const double limit_ms = line.idle_timeout_minutes * static_cast<double>(behaviour.minute.count());
  constexpr double kLongestMs = 1e12;  // 30 years, and far from overflow
  const Milliseconds limit(static_cast<int64_t>(std::ceil(std::min(limit_ms, kLongestMs))));
  return limit - activity.IdleSince(state.changed);
}

}  // namespace

void Supervise(const Behaviour& behaviour, const CommandLine& line, const Activity& activity,
               ExchangeLog& log, const sigset_t& signals) {
  std::optional<Stage> printed;
  for (;;) {
    const Milliseconds elapsed = activity.Elapsed();
    const LifeState state = LifeAt(behaviour, elapsed);
    if (printed != state.stage) {
      std::printf("%s\n", ProgressMessage(behaviour, line, state).c_str());
      std::fflush(stdout);
      printed = state.stage;
    }
    if (behaviour.crash_after && elapsed >= *behaviour.crash_after) {
      Crash(behaviour, log, "REFERENCE_BACKEND_CRASH_AFTER_MS says so");
    }
    std::optional<Milliseconds> wake = NextStageIn(behaviour, elapsed);
    const auto wake_in = [&wake](Milliseconds time) { wake = std::min(wake.value_or(time), time); };
    if (behaviour.crash_after) wake_in(*behaviour.crash_after - elapsed);
    if (const auto left = IdleTimeLeft(behaviour, line, activity)) {
      if (*left <= Milliseconds(0)) {
        std::printf("Idle for %g minutes: shutting down\n", line.idle_timeout_minutes);
        return;
      }
      wake_in(*left);
    }
    if (SignalWithin(signals, wake)) return;
  }
}

}  // namespace tao::reference_backend
