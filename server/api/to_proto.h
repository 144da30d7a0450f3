#pragma once

// Our types as the API's messages. Pure.

#include <string>

#include "server/lifecycle/lifecycle.h"
#include "server/registry/service_record.h"
#include "server/routing/phase.h"
#include "tao/inference/v1/inference.pb.h"

namespace tao::api {

namespace pb = ::tao::inference::v1;

pb::Phase ToProto(routing::Phase phase);

// `gateway_base_url` as in ApiConfig: without it gateway_url stays empty.
pb::Service ToProto(const registry::ServiceRecord& record, const std::string& gateway_base_url);

pb::CheckPlatformResponse ToProto(const lifecycle::Lifecycle::PlatformCheck& check);

}  // namespace tao::api
