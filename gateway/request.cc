#include "gateway/request.h"

#include <absl/strings/str_format.h>

#include <algorithm>

#include "gateway/http/authority.h"
#include "gateway/http/grammar.h"
#include "gateway/http_error.h"
#include "gateway/upstream/proxy_status.h"
#include "gateway/upstream/request_head.h"
#include "server/base/errors.h"
#include "server/base/strings.h"

namespace tao::gateway {

using http::Field;
using http::FieldId;
using http::Method;
using routing::SelectorTerm;

namespace {

constexpr size_t kMaxRequestIdBytes = 128;
constexpr std::string_view kModelsPrefix = "/v1/models/";

Endpoint FindEndpoint(const http::RouteTarget& target, bool scoped) {
  const std::string_view path = target.normal_path;
  if (path == "/v1/chat/completions") return Endpoint::kChat;
  if (path == "/v1/models") return Endpoint::kModels;
  if (path.size() > kModelsPrefix.size() && path.substr(0, kModelsPrefix.size()) == kModelsPrefix) {
    return Endpoint::kModel;
  }
  if (scoped) return path == "/schema" ? Endpoint::kSchema : Endpoint::kNone;
  if (path == "/livez") return Endpoint::kLivez;
  if (path == "/readyz") return Endpoint::kReadyz;
  if (path == "*") return Endpoint::kAsterisk;
  return Endpoint::kNone;
}

absl::Status AddSelectors(const http::RequestHead& head, const http::RouteTarget& target,
                          routing::Selector* selector) {
  using Kind = SelectorTerm::Kind;
  const auto add = [selector](Kind kind, std::string_view value, std::string_view source) {
    selector->terms.push_back({kind, std::string(value), source});
  };
  if (target.path_job_id.has_value()) add(Kind::kJobId, *target.path_job_id, "path");
  if (target.path_network_arch.has_value()) {
    add(Kind::kNetworkArch, *target.path_network_arch, "path");
  }
  for (const Field& field : head.fields) {
    const bool is_job_id = field.id == FieldId::kXTaoJobId;
    if (!is_job_id && field.id != FieldId::kXTaoNetworkArch) continue;
    if (field.value.empty()) {
      return HttpError(400, absl::StrFormat("the header %s is empty", field.name));
    }
    add(is_job_id ? Kind::kJobId : Kind::kNetworkArch, field.value,
        is_job_id ? "header X-TAO-Job-ID" : "header X-TAO-Network-Arch");
  }
  if (target.query_job_id.has_value()) add(Kind::kJobId, *target.query_job_id, "query job_id");
  if (target.query_network_arch.has_value()) {
    add(Kind::kNetworkArch, *target.query_network_arch, "query network_arch");
  }
  return absl::OkStatus();
}

absl::Status ReadExpect(const http::RequestHead& head, bool* expects_continue) {
  *expects_continue = false;
  // RFC 9110 section 10.1.1: HTTP/1.0 knows no 100 (Continue).
  if (!head.fields.Has(FieldId::kExpect) || head.version == http::Version::kHttp10) {
    return absl::OkStatus();
  }
  if (head.fields.Count(FieldId::kExpect) > 1 ||
      !http::EqualsIgnoreCase(head.fields.ValueOf(FieldId::kExpect), "100-continue")) {
    return HttpError(417, "the only expectation that is met here is 100-continue");
  }
  *expects_continue = true;
  return absl::OkStatus();
}

absl::Status ReadStrict(const http::RequestHead& head, bool* strict) {
  for (const Field& field : head.fields) {
    if (field.id != FieldId::kXTaoStrict) continue;
    const bool yes = http::EqualsIgnoreCase(field.value, "true");
    if (!yes && !http::EqualsIgnoreCase(field.value, "false")) {
      return HttpError(400, absl::StrFormat("the header X-TAO-Strict is true or false, not %s",
                                            base::Quoted(field.value)));
    }
    *strict = *strict || yes;
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view AllowedMethods(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::kChat:
      return "POST, OPTIONS";
    case Endpoint::kAsterisk:
      return "GET, HEAD, POST, OPTIONS";
    case Endpoint::kNone:
      return "";
    default:
      return "GET, HEAD, OPTIONS";
  }
}

bool Allows(Endpoint endpoint, Method method) {
  if (method == Method::kOptions) return true;
  if (endpoint == Endpoint::kChat) return method == Method::kPost;
  return method == Method::kGet || method == Method::kHead;
}

absl::Status ReadRequest(const http::RequestHead& head, Request* request) {
  *request = {};
  http::Authority authority;
  http::MessageError error = http::DecideAuthority(head, &authority);
  if (!error) error = http::SelectRequestFields(head, &request->forwarding);
  if (!error) error = http::ParseRouteTarget(head, &request->scratch, &request->target);
  if (error) return HttpError(error);

  absl::Status status = AddSelectors(head, request->target, &request->selector);
  if (status.ok()) status = ReadExpect(head, &request->expects_continue);
  if (status.ok()) status = ReadStrict(head, &request->strict);
  if (!status.ok()) return status;

  const bool scoped =
      request->target.path_job_id.has_value() || request->target.path_network_arch.has_value();
  request->endpoint = FindEndpoint(request->target, scoped);
  // RFC 9110 section 7.6.3: nothing is sent to ourselves.
  if (request->endpoint == Endpoint::kChat && http::ViaNames(head.fields, upstream::kPseudonym)) {
    return upstream::WithProxyStatus(
        HttpError(508,
                  "the request has been through this gateway before (its Via says so): a service's "
                  "host_url leads back here; see GET /v1/models and `tao-inference list`"),
        "proxy_loop_detected");
  }
  if (request->endpoint == Endpoint::kModel) {
    request->model_id = request->target.normal_path.substr(kModelsPrefix.size());
  }
  return absl::OkStatus();
}

std::string_view UsableRequestId(const http::FieldList& fields) {
  if (fields.Count(FieldId::kXRequestId) != 1) return {};
  const std::string_view id = fields.ValueOf(FieldId::kXRequestId);
  const bool usable = !id.empty() && id.size() <= kMaxRequestIdBytes &&
                      std::all_of(id.begin(), id.end(), [](char c) {
                        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                               (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.' ||
                               c == ':';
                      });
  return usable ? id : std::string_view();
}

absl::Status CheckMediaType(const http::FieldList& fields) {
  const std::string_view type = fields.ValueOf(FieldId::kContentType);
  if (fields.Count(FieldId::kContentType) != 1 || !http::HasMediaType(type, "application/json")) {
    return base::TokenError(
        base::ErrorToken::kUnsupportedMediaType,
        absl::StrFormat("Content-Type is %s; a chat completion is sent as application/json",
                        type.empty() ? "missing" : base::Quoted(type)));
  }
  for (const Field& field : fields) {  // any of them: backends may heed the last
    if (field.id != FieldId::kContentEncoding || http::EqualsIgnoreCase(field.value, "identity")) {
      continue;
    }
    return base::TokenError(base::ErrorToken::kUnsupportedMediaType,
                            absl::StrFormat("Content-Encoding is %s; send the body uncompressed",
                                            base::Quoted(field.value)));
  }
  return absl::OkStatus();
}

}  // namespace tao::gateway
