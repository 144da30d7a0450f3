#pragma once

// The API's messages as our types. Pure. What the launch plan checks (archs, paths, names) is not
// checked here, only what does not fit into our types.

#include <absl/status/statusor.h>

#include "server/launch/launch_request.h"
#include "server/routing/selector.h"
#include "tao/inference/v1/inference.pb.h"

namespace tao::api {

namespace pb = ::tao::inference::v1;

// InvalidArgument with every wrong field at once.
absl::StatusOr<launch::LaunchRequest> ToLaunchRequest(const pb::StartRequest& request);
// The part of a start that a check is about: platform, its options, GPUs.
absl::StatusOr<launch::LaunchRequest> ToLaunchRequest(const pb::CheckPlatformRequest& request);

// Fields that are empty say nothing.
routing::Selector ToSelector(const pb::Selector& selector);

// `field` is for the message. InvalidArgument: out of protobuf's range, or negative.
absl::StatusOr<absl::Duration> ToDuration(const google::protobuf::Duration& duration,
                                          std::string_view field);

}  // namespace tao::api
