#include "server/platforms/lepton/lepton_api.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <poll.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "server/base/mutex.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/lepton/lepton_parse.h"

namespace tao::platforms {
namespace {

constexpr std::string_view kDefaultBase = "https://gateway.dgxc-lepton.nvidia.com";
constexpr size_t kMaxAnswer = 16 << 20;  // a list of everything in a workspace
constexpr absl::Duration kLongestRetryAfter = absl::Seconds(30);

struct Answer {
  base::Mutex mutex;
  base::CondVar changed;
  std::optional<absl::StatusOr<io::HttpResponse>> response ABSL_GUARDED_BY(mutex);
};

// What Lepton's Retry-After asks for, in seconds; a date is not used by it.
absl::Duration RetryAfter(const io::HttpResponse& response) {
  int seconds = 0;
  if (!absl::SimpleAtoi(response.retry_after, &seconds) || seconds < 0) {
    return absl::ZeroDuration();
  }
  return std::min(absl::Seconds(seconds), kLongestRetryAfter);
}

bool IsWorthAnotherTry(const absl::StatusOr<io::HttpResponse>& response, bool repeatable) {
  if (response.ok()) {
    return response->status == 429 || (repeatable && response->status / 100 == 5);
  }
  return repeatable &&
         (absl::IsUnavailable(response.status()) || absl::IsDeadlineExceeded(response.status()));
}

}  // namespace

absl::StatusOr<LeptonWorkspace> LeptonWorkspaceOf(const catalog::EnvironmentLookup& environment) {
  LeptonWorkspace workspace;
  workspace.id = environment("LEPTON_WORKSPACE_ID").value_or("");
  std::string token = environment("LEPTON_AUTH_TOKEN").value_or("");
  std::string url = environment("LEPTON_WORKSPACE_URL").value_or("");
  // The console shows one credential, ID:TOKEN.
  if (const size_t colon = workspace.id.find(':'); colon != std::string::npos) {
    if (token.empty()) token = workspace.id.substr(colon + 1);
    base::Secret(workspace.id.substr(colon + 1));  // known to Redact from here on
    workspace.id.resize(colon);
  } else if (const size_t end = token.find(':'); end != std::string::npos) {
    if (workspace.id.empty() && url.empty()) workspace.id = token.substr(0, end);
    if (token.substr(0, end) == workspace.id) token.erase(0, end + 1);
  }
  workspace.token = base::Secret(token);
  std::string missing;
  if (workspace.id.empty() && url.empty()) missing = "LEPTON_WORKSPACE_ID";
  if (token.empty()) missing += missing.empty() ? "LEPTON_AUTH_TOKEN" : " and LEPTON_AUTH_TOKEN";
  if (!missing.empty()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "lepton needs %s in the server's environment. Make a token in the console of DGX Cloud "
        "Lepton (Settings, Tokens), export LEPTON_WORKSPACE_ID=... LEPTON_AUTH_TOKEN=... and "
        "restart the server",
        missing));
  }
  const auto is_plain = [](char c) { return c > ' ' && c < 127 && c != '"' && c != '/'; };
  if (!std::all_of(workspace.id.begin(), workspace.id.end(), is_plain)) {
    return absl::FailedPreconditionError(
        absl::StrFormat("LEPTON_WORKSPACE_ID is %s, which is no id of a workspace; the console "
                        "shows it",
                        base::Quoted(workspace.id)));
  }
  std::string_view variable = "LEPTON_WORKSPACE_URL";
  if (url.empty()) {
    variable = "LEPTON_API_BASE_URL";
    url = environment("LEPTON_API_BASE_URL").value_or("");
    if (url.empty()) url = kDefaultBase;
    while (url.ends_with('/')) url.pop_back();
    url += "/api/v2/workspaces/" + workspace.id;
  }
  while (url.ends_with('/')) url.pop_back();
  const absl::StatusOr<LeptonUrl> parsed = ParseLeptonUrl(url);
  if (!parsed.ok()) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s: %s", variable, base::ToStd(parsed.status().message())));
  }
  workspace.url = url;
  workspace.origin = url.substr(0, url.find('/', std::string_view("https://").size()));
  return workspace;
}

bool LeptonCancelledWithin(const base::CancelToken* cancel, absl::Duration wait) {
  pollfd waiting{.fd = cancel == nullptr ? -1 : cancel->fd(), .events = POLLIN, .revents = 0};
  poll(&waiting, 1, static_cast<int>(absl::ToInt64Milliseconds(wait)));
  return cancel != nullptr && cancel->cancelled();
}

absl::StatusOr<io::HttpResponse> LeptonApi::Try(const LeptonCall& call,
                                                absl::Duration timeout) const {
  io::HttpRequest request{.method = call.method,
                          .url = workspace_.url + call.path,
                          .headers = {{"Authorization", "Bearer " + workspace_.token.Reveal()},
                                      {"Accept", "application/json"},
                                      {"origin", workspace_.origin}},
                          .body = call.body,
                          .timeout = timeout,
                          .max_body_bytes = kMaxAnswer,
                          .on_body = call.on_body,
                          .cancel = call.cancel};
  if (!call.body.empty()) request.headers.emplace_back("Content-Type", "application/json");
  // Shared: the client's thread still lets go of the mutex when this one has seen the answer.
  const auto answer = std::make_shared<Answer>();
  http_->Fetch(std::move(request), [answer](absl::StatusOr<io::HttpResponse> response) {
    base::MutexLock lock(answer->mutex);
    answer->response = std::move(response);
    answer->changed.SignalAll();
  });
  base::MutexLock lock(answer->mutex);
  while (!answer->response.has_value()) answer->changed.Wait(answer->mutex);
  return *std::move(answer->response);
}

absl::StatusOr<io::HttpResponse> LeptonApi::Call(const LeptonCall& call) const {
  const absl::Time end = absl::Now() + call.timeout;
  base::Backoff backoff(backoff_);
  while (true) {
    if (call.cancel != nullptr && call.cancel->cancelled()) {
      return absl::CancelledError("cancelled");
    }
    const absl::Duration left = std::max(end - absl::Now(), absl::Milliseconds(1));
    absl::StatusOr<io::HttpResponse> response = Try(call, std::min(call.try_timeout, left));
    if (!IsWorthAnotherTry(response, call.repeatable)) return response;
    absl::Duration wait = backoff.Next();
    if (response.ok()) wait = std::max(wait, RetryAfter(*response));
    // What cannot be tried again in time is the answer.
    if (absl::Now() + wait >= end) return response;
    if (LeptonCancelledWithin(call.cancel, wait)) return absl::CancelledError("cancelled");
  }
}

}  // namespace tao::platforms
