#include "server/lifecycle/request_codec.h"

#include <nlohmann/json.hpp>

namespace tao::lifecycle {
namespace {

using Json = nlohmann::json;  // keys sorted: canonical

double Seconds(absl::Duration duration) { return absl::ToDoubleSeconds(duration); }

}  // namespace

std::string EncodeLaunchRequest(const launch::LaunchRequest& request) {
  Json json = {
      {"network_arch", request.network_arch},
      {"platform", request.platform},
      {"model_path", request.model_path},
      {"model_key", request.model_key},
      {"mounts", request.mounts},
      {"hf_cache", request.hf_cache},
      {"env", request.env},
      {"arch_options", request.arch_options},
      {"gpu_mode", static_cast<int>(request.gpu_mode)},
      {"gpu_count", request.gpu_count},
      {"gpu_ids", request.gpu_ids},
      {"progress_timeout_seconds", Seconds(request.progress_timeout)},
      {"startup_timeout_seconds", Seconds(request.startup_timeout)},
      {"keep_failed", request.keep_failed},
  };
  // Left out when there are none, as the fingerprints of versions before it have none.
  if (!request.platform_options.empty()) json["platform_options"] = request.platform_options;
  if (request.idle_timeout_minutes.has_value()) {
    json["idle_timeout_minutes"] = *request.idle_timeout_minutes;
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<launch::LaunchRequest> DecodeLaunchRequest(std::string_view text) {
  try {
    const Json json = Json::parse(text);
    launch::LaunchRequest request;
    json.at("network_arch").get_to(request.network_arch);
    json.at("platform").get_to(request.platform);
    json.at("model_path").get_to(request.model_path);
    json.at("model_key").get_to(request.model_key);
    json.at("mounts").get_to(request.mounts);
    json.at("hf_cache").get_to(request.hf_cache);
    json.at("env").get_to(request.env);
    json.at("arch_options").get_to(request.arch_options);
    request.gpu_mode = static_cast<launch::GpuMode>(json.at("gpu_mode").get<int>());
    json.at("gpu_count").get_to(request.gpu_count);
    json.at("gpu_ids").get_to(request.gpu_ids);
    request.progress_timeout = absl::Seconds(json.at("progress_timeout_seconds").get<double>());
    request.startup_timeout = absl::Seconds(json.at("startup_timeout_seconds").get<double>());
    json.at("keep_failed").get_to(request.keep_failed);
    if (json.contains("platform_options")) {
      json.at("platform_options").get_to(request.platform_options);
    }
    if (json.contains("idle_timeout_minutes")) {
      request.idle_timeout_minutes = json.at("idle_timeout_minutes").get<double>();
    }
    return request;
  } catch (const Json::exception& error) {
    return absl::InternalError(std::string("the recorded start request cannot be read: ") +
                               error.what());
  }
}

}  // namespace tao::lifecycle
