#include "gateway/upstream/proxy_status.h"

#include <absl/strings/cord.h>

#include <utility>

namespace tao::upstream {
namespace {

constexpr absl::string_view kProxyStatusUrl = "tao.gateway/proxy_status";

}  // namespace

absl::Status WithProxyStatus(absl::Status error, std::string_view word) {
  error.SetPayload(kProxyStatusUrl, absl::Cord(absl::string_view(word.data(), word.size())));
  return error;
}

std::string ProxyStatusOf(const absl::Status& error) {
  const absl::optional<absl::Cord> word = error.GetPayload(kProxyStatusUrl);
  return word.has_value() ? std::string(*word) : std::string();
}

}  // namespace tao::upstream
