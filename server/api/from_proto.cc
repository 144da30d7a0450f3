#include "server/api/from_proto.h"

#include <absl/strings/str_format.h>

#include <string>
#include <utility>
#include <vector>

#include "server/base/errors.h"
#include "server/base/strings.h"

namespace tao::api {
namespace {

constexpr size_t kMaxRequestIdBytes = 128;
// google/protobuf/duration.proto
constexpr int64_t kMaxDurationSeconds = 315'576'000'000;

absl::Status WrongFields(const std::vector<base::FieldViolation>& violations) {
  std::string message = "the request cannot be read: ";
  for (const base::FieldViolation& each : violations) {
    if (&each != &violations.front()) message += "; ";
    message += each.field + ": " + each.description;
  }
  return base::WithDetails(absl::InvalidArgumentError(message), {.violations = violations});
}

std::optional<launch::GpuMode> ToGpuMode(pb::GpuMode mode) {
  using launch::GpuMode;
  switch (mode) {
    case pb::GPU_MODE_UNSPECIFIED:
      return GpuMode::kUnspecified;
    case pb::GPU_MODE_AUTO:
      return GpuMode::kAuto;
    case pb::GPU_MODE_DEVICE:
      return GpuMode::kDevice;
    case pb::GPU_MODE_TEGRA:
      return GpuMode::kTegra;
    case pb::GPU_MODE_NONE:
      return GpuMode::kNone;
    default:
      return std::nullopt;  // of a newer client
  }
}

// Empty when `duration` is one that we take.
std::string DurationError(const google::protobuf::Duration& duration) {
  if (duration.seconds() > kMaxDurationSeconds || duration.nanos() > 999'999'999) {
    return "is out of range; write a google.protobuf.Duration of at most 315576000000 s";
  }
  if (duration.seconds() < 0 || duration.nanos() < 0) {
    return "is negative; write 0 or more, or leave it out for the default";
  }
  return "";
}

absl::Duration Unchecked(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

}  // namespace

absl::StatusOr<absl::Duration> ToDuration(const google::protobuf::Duration& duration,
                                          std::string_view field) {
  std::string error = DurationError(duration);
  if (error.empty()) return Unchecked(duration);
  return WrongFields({{.field = std::string(field), .description = std::move(error)}});
}

absl::StatusOr<launch::LaunchRequest> ToLaunchRequest(const pb::StartRequest& request) {
  std::vector<base::FieldViolation> violations;
  if (request.request_id().size() > kMaxRequestIdBytes) {
    violations.push_back(
        {"request_id", absl::StrFormat("has %d bytes; write at most %d",
                                       request.request_id().size(), kMaxRequestIdBytes)});
  }
  const std::optional<launch::GpuMode> gpu_mode = ToGpuMode(request.gpu_mode());
  if (!gpu_mode.has_value()) {
    violations.push_back(
        {"gpu_mode", absl::StrFormat("%d is no GpuMode that this server knows; use "
                                     "GPU_MODE_AUTO, _DEVICE, _TEGRA or _NONE",
                                     static_cast<int>(request.gpu_mode()))});
  }
  if (request.gpu_count() < 0) {
    violations.push_back({"gpu_count", absl::StrFormat("is %d; write how many GPUs you want, or 0 "
                                                       "for 1",
                                                       request.gpu_count())});
  }
  const auto check_duration = [&](const google::protobuf::Duration& duration, const char* field) {
    std::string error = DurationError(duration);
    if (!error.empty()) violations.push_back({field, std::move(error)});
  };
  check_duration(request.progress_timeout(), "progress_timeout");
  check_duration(request.startup_timeout(), "startup_timeout");
  if (!violations.empty()) return WrongFields(violations);

  launch::LaunchRequest launch;
  launch.request_id = request.request_id();
  launch.network_arch = request.network_arch();
  launch.platform = request.platform();
  launch.model_path = request.model_path();
  launch.model_key = request.model_key();
  launch.mounts = {request.mounts().begin(), request.mounts().end()};
  launch.hf_cache = request.hf_cache();
  launch.env = {request.env().begin(), request.env().end()};
  launch.arch_options = {request.arch_options().begin(), request.arch_options().end()};
  launch.platform_options = {request.platform_options().begin(), request.platform_options().end()};
  if (request.has_idle_timeout_minutes()) {
    launch.idle_timeout_minutes = request.idle_timeout_minutes();
  }
  launch.gpu_mode = *gpu_mode;
  launch.gpu_count = request.gpu_count() == 0 ? 1 : request.gpu_count();
  launch.gpu_ids = {request.gpu_ids().begin(), request.gpu_ids().end()};
  launch.progress_timeout = Unchecked(request.progress_timeout());
  launch.startup_timeout = Unchecked(request.startup_timeout());
  launch.keep_failed = request.keep_failed();
  return launch;
}

absl::StatusOr<launch::LaunchRequest> ToLaunchRequest(const pb::CheckPlatformRequest& request) {
  pb::StartRequest start;
  start.set_platform(request.platform());
  *start.mutable_platform_options() = request.platform_options();
  start.set_gpu_mode(request.gpu_mode());
  start.set_gpu_count(request.gpu_count());
  *start.mutable_gpu_ids() = request.gpu_ids();
  return ToLaunchRequest(start);
}

routing::Selector ToSelector(const pb::Selector& selector) {
  using Kind = routing::SelectorTerm::Kind;
  routing::Selector result;
  if (!selector.job_id().empty()) {
    result.terms.push_back({Kind::kJobId, selector.job_id(), "selector.job_id"});
  }
  if (!selector.network_arch().empty()) {
    result.terms.push_back({Kind::kNetworkArch, selector.network_arch(), "selector.network_arch"});
  }
  return result;
}

}  // namespace tao::api
