#pragma once

// One REST call to a Lepton workspace: its address and token, a deadline, tries again where that is
// harmless, cancellation. Thread-safe.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <functional>
#include <string>
#include <string_view>

#include "server/base/backoff.h"
#include "server/base/cancel.h"
#include "server/base/secret.h"
#include "server/catalog/catalog.h"
#include "server/io/http_client.h"

namespace tao::platforms {

// Which workspace, and as whom.
struct LeptonWorkspace {
  std::string id;      // empty when LEPTON_WORKSPACE_URL says it all
  std::string url;     // "https://gateway.dgxc-lepton.nvidia.com/api/v2/workspaces/ID"
  std::string origin;  // scheme, host and port of `url`
  base::Secret token;
};

// From LEPTON_WORKSPACE_ID and LEPTON_AUTH_TOKEN, which may also be the console's one credential
// `ID:TOKEN`, LEPTON_API_BASE_URL (scheme and host) or LEPTON_WORKSPACE_URL (all of `url`).
// FailedPrecondition: what is missing, and how to get it.
absl::StatusOr<LeptonWorkspace> LeptonWorkspaceOf(const catalog::EnvironmentLookup& environment);

struct LeptonCall {
  std::string method = "GET";
  std::string path;  // after the workspace's url: "/deployments/NAME"
  std::string body;  // JSON
  // Of one try, and of all of them with the waits between.
  absl::Duration try_timeout = absl::Seconds(20);
  absl::Duration timeout = absl::Seconds(60);
  // For calls that may be repeated: a failure of the transport and a 5xx are tried again. A 429 is
  // always, since nothing was done.
  bool repeatable = true;
  const base::CancelToken* cancel = nullptr;      // may be null
  std::function<bool(std::string_view)> on_body;  // as of io::HttpRequest
};

class LeptonApi {
 public:
  LeptonApi(io::HttpClient& http, LeptonWorkspace workspace, base::BackoffOptions backoff)
      : http_(&http), workspace_(std::move(workspace)), backoff_(backoff) {}

  // Blocks. Any HTTP answer is one, also a 404. Unavailable or DeadlineExceeded: none came.
  // Cancelled.
  absl::StatusOr<io::HttpResponse> Call(const LeptonCall& call) const;
  const LeptonWorkspace& workspace() const { return workspace_; }

 private:
  absl::StatusOr<io::HttpResponse> Try(const LeptonCall& call, absl::Duration timeout) const;

  io::HttpClient* http_;
  LeptonWorkspace workspace_;
  base::BackoffOptions backoff_;
};

// Waits for `wait` at most; true when `cancel` (may be null) has fired.
bool LeptonCancelledWithin(const base::CancelToken* cancel, absl::Duration wait);

}  // namespace tao::platforms
