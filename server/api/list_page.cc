#include "server/api/list_page.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

#include "server/api/to_proto.h"
#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tao::api {
namespace {

// What pages are ordered by; a token is "<created_at in ns>.<job_id>".
using Key = std::pair<int64_t, std::string_view>;

Key KeyOf(const registry::ServiceRecord& record) {
  return {absl::ToUnixNanos(record.created_at), record.job_id};
}

absl::Status WrongField(std::string_view field, const std::string& description) {
  return base::WithDetails(
      absl::InvalidArgumentError(absl::StrFormat("%s %s", field, description)),
      {.violations = {{.field = std::string(field), .description = description}}});
}

absl::StatusOr<Key> ParseToken(std::string_view token) {
  const size_t dot = token.find('.');
  int64_t created_ns = 0;
  if (dot == std::string_view::npos ||
      !absl::SimpleAtoi(base::ToAbsl(token.substr(0, dot)), &created_ns)) {
    return WrongField("page_token",
                      absl::StrFormat("%s is none of ours; send next_page_token of the answer "
                                      "before, or nothing for the first page",
                                      base::Quoted(token)));
  }
  return Key{created_ns, token.substr(dot + 1)};
}

// The one that was started last, of those that run.
std::string LatestOf(const registry::ServiceList& records) {
  const registry::ServiceRecord* latest = nullptr;
  for (const auto& record : records) {
    if (routing::IsFinal(record->phase) || record->started_at == absl::InfinitePast()) continue;
    if (latest == nullptr || record->started_at > latest->started_at) latest = record.get();
  }
  return latest == nullptr ? "" : latest->job_id;
}

}  // namespace

absl::StatusOr<pb::ListResponse> ListPage(const pb::ListRequest& request,
                                          const registry::ServiceList& records,
                                          const std::string& gateway_base_url) {
  if (request.page_size() < 0 || request.page_size() > kMaxPageSize) {
    return WrongField("page_size",
                      absl::StrFormat("is %d; write 1 to %d, or 0 for %d", request.page_size(),
                                      kMaxPageSize, kDefaultPageSize));
  }
  const int page_size = request.page_size() == 0 ? kDefaultPageSize : request.page_size();

  auto next = records.begin();
  if (!request.page_token().empty()) {
    ASSIGN_OR_RETURN(const Key last_sent, ParseToken(request.page_token()));
    next =
        std::upper_bound(records.begin(), records.end(), last_sent,
                         [](const Key& sent, const auto& record) { return sent < KeyOf(*record); });
  }

  pb::ListResponse response;
  response.set_latest(LatestOf(records));
  size_t bytes = 0;
  const registry::ServiceRecord* last = nullptr;
  for (; next != records.end(); ++next) {
    pb::Service service = ToProto(**next, gateway_base_url);
    bytes += service.ByteSizeLong();
    if (last != nullptr && (response.services_size() == page_size || bytes > kMaxPageBytes)) {
      response.set_next_page_token(
          absl::StrFormat("%d.%s", KeyOf(*last).first, KeyOf(*last).second));
      break;
    }
    *response.add_services() = std::move(service);
    last = next->get();
  }
  return response;
}

}  // namespace tao::api
