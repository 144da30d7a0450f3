#pragma once

// Services as people and scripts read them. Pure functions.

#include <absl/time/time.h>
#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "tao/inference/v1/inference.pb.h"

namespace tao::cli {

namespace pb = ::tao::inference::v1;

// "READY", "LOADING", ...
std::string PhaseName(pb::Phase phase);

// "42s", "5m", "3h20m", "2d4h": time since `since`; "-" when it is not set.
std::string Age(const google::protobuf::Timestamp& since, bool is_set, absl::Time now);

// The table of `list`, with its head: job_id, arch, platform, phase, age, URL. One line each.
std::string ListTable(const std::vector<pb::Service>& services, absl::Time now);

// "cosmos-rl (local-docker, READY)": a service in a sentence.
std::string Brief(const pb::Service& service);

// What `start` prints at the end.
std::string StartSummary(const pb::Service& service);

// Why a service is FAILED, with its last log lines.
std::string FailureReport(const pb::Service& service);

// `message` in protobuf's JSON mapping, with the field names of the proto and every field that is
// not a message; one line, with its line end.
std::string ToJsonLine(const google::protobuf::Message& message);

}  // namespace tao::cli
