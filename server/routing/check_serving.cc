// CheckServing of resolver.h: what a request to a chosen service is told while the service cannot
// take it.

#include <absl/strings/str_format.h>

#include <string>

#include "server/base/errors.h"
#include "server/routing/resolver.h"

namespace tao::routing {
namespace {

// Long enough that an SDK with its two retries outlasts the common wait, and always within 1 to 60
// s: beyond that the OpenAI SDKs fall back to half a second, or give up.
absl::Duration RetryAfter(Phase phase) {
  switch (phase) {
    case Phase::kLaunching:
    case Phase::kPending:
      return absl::Seconds(30);  // an image pull, a queue: minutes
    case Phase::kLoading:
      return absl::Seconds(10);
    case Phase::kInitializing:
      return absl::Seconds(5);
    default:
      return absl::Seconds(2);  // STARTING: the container's server answers within seconds
  }
}

// The word that the container's own chat completions answer with in this state. Its readiness
// answer may use others for the same (shape A: model_not_loaded, initialization_failed,
// model_load_failed).
std::string ContainerType(const Service& service) {
  const std::string& reason = service.reason;
  if (service.phase == Phase::kFailed) {
    if (reason == "initialization_failed" || reason == "initialization_error") {
      return "initialization_error";
    }
    if (reason == "model_load_failed" || reason == "model_load_error") return "model_load_error";
    return "";  // ours (exited, start_timeout, ...): the token's own type
  }
  if (service.phase == Phase::kInitializing) return "server_initializing";
  if (service.phase == Phase::kLoading && reason == "model_loading") return "model_loading";
  return "model_not_ready";
}

std::string Named(const Service& service) {
  return absl::StrFormat("service %s (%s)", service.job_id, service.network_arch);
}

// " (reason): message", without the full stop that the sentence goes on with.
std::string Because(const Service& service) {
  std::string text;
  if (!service.reason.empty()) text += absl::StrFormat(" (%s)", service.reason);
  if (!service.message.empty()) text += ": " + service.message.substr(0, 500);
  while (text.ends_with('.')) text.pop_back();
  return text;
}

}  // namespace

absl::Status CheckServing(const Service& service) {
  switch (service.phase) {
    case Phase::kReady:
    case Phase::kUnreachable:
      return absl::OkStatus();
    case Phase::kFailed:  // the message says what to do next
      return base::TokenError(base::ErrorToken::kServiceFailed,
                              absl::StrFormat("%s is FAILED%s. Trying again does not help",
                                              Named(service), Because(service)),
                              {.type = ContainerType(service)});
    case Phase::kDraining:
    case Phase::kStopped:
      return base::TokenError(
          base::ErrorToken::kServiceDraining,
          absl::StrFormat("%s is being stopped and takes no new requests; name another service, or "
                          "start one",
                          Named(service)));
    case Phase::kLaunching:
    case Phase::kPending:
    case Phase::kStarting:
    case Phase::kInitializing:
    case Phase::kLoading:
      break;
  }
  const absl::Duration retry_after = RetryAfter(service.phase);
  return base::TokenError(
      base::ErrorToken::kModelNotReady,
      absl::StrFormat("%s is %s, not READY%s. Try again in %d s", Named(service),
                      ToString(service.phase), Because(service), absl::ToInt64Seconds(retry_after)),
      {.type = ContainerType(service), .retry_after = retry_after});
}

}  // namespace tao::routing
