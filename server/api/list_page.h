#pragma once

// One page of List. Pure.

#include <absl/status/statusor.h>

#include <string>

#include "server/registry/registry.h"
#include "tao/inference/v1/inference.pb.h"

namespace tao::api {

namespace pb = ::tao::inference::v1;

inline constexpr int kDefaultPageSize = 100;
inline constexpr int kMaxPageSize = 1000;
// A page ends before it grows beyond this (one service is always sent): FAILED services carry their
// last log lines, and a default client takes 4 MiB.
inline constexpr size_t kMaxPageBytes = 2 << 20;

// The page of `records` (those that are in lists, as Registry::List orders them) that `request`
// asks for. A token names the last
// service that was sent, so that services which come and go between two pages move no others.
// InvalidArgument: a page_size or page_token that cannot be.
absl::StatusOr<pb::ListResponse> ListPage(const pb::ListRequest& request,
                                          const registry::ServiceList& records,
                                          const std::string& gateway_base_url);

}  // namespace tao::api
