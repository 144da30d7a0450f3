#include "server/platforms/brev/brev_state.h"

#include <absl/strings/str_format.h>

#include "server/base/uuid.h"

namespace tao::platforms {
namespace {

constexpr std::string_view kPrefix = "tao-";
constexpr size_t kUuidSize = 36;
constexpr size_t kDaemonDigits = 8;  // brev's names have 63 bytes at most

}  // namespace

std::map<std::string, std::string> BrevState::ToMap() const {
  std::map<std::string, std::string> map;
  const auto set = [&map](const char* name, const std::string& value) {
    if (!value.empty()) map.emplace(name, value);
  };
  set("owned", owned ? "1" : "");
  set("foreign", foreign ? "1" : "");
  set("instance_name", instance_name);
  set("instance_id", instance_id);
  set("network", network);
  set("address", address);
  set("ip", ip);
  return map;
}

BrevState ToBrevState(const std::map<std::string, std::string>& driver_state) {
  const auto get = [&driver_state](const char* name) {
    const auto found = driver_state.find(name);
    return found == driver_state.end() ? std::string() : found->second;
  };
  return {.owned = get("owned") == "1",
          .foreign = !get("foreign").empty(),
          .instance_name = get("instance_name"),
          .instance_id = get("instance_id"),
          .network = get("network"),
          .address = get("address"),
          .ip = get("ip")};
}

std::string OwnInstanceName(std::string_view job_id, std::string_view daemon_id) {
  return absl::StrFormat("%s%s-%s", kPrefix, job_id, daemon_id.substr(0, kDaemonDigits));
}

std::optional<std::string> JobIdOfInstance(std::string_view name, std::string_view daemon_id) {
  if (name.size() < kPrefix.size() + kUuidSize) return std::nullopt;
  std::string job_id(name.substr(kPrefix.size(), kUuidSize));
  if (!base::IsUuid(job_id) || name != OwnInstanceName(job_id, daemon_id)) return std::nullopt;
  return job_id;
}

}  // namespace tao::platforms
