#pragma once

// What a chat completion may say, as the API's messages. Pure; thread-safe.

#include <absl/status/statusor.h>

#include <string>

#include "server/catalog/catalog.h"
#include "server/routing/route_table.h"
#include "tao/inference/v1/inference.pb.h"

namespace tao::api {

namespace pb = ::tao::inference::v1;

// `text`, a value of the catalog, as `type`; left_out when it is empty.
pb::SamplingValue ToSamplingValue(const std::string& name, catalog::FieldType type,
                                  const std::string& text);

// The schema of `network_arch`, which the catalog knows.
pb::GetRequestSchemaResponse SchemaOf(const catalog::Catalog& catalog,
                                      const std::string& network_arch);

// The answer to `request`. InvalidArgument: it names nothing. service_not_found, or NotFound with
// reason ARCH_NOT_FOUND: what it names is not there, or is of an arch that the catalog does not
// know.
absl::StatusOr<pb::GetRequestSchemaResponse> GetRequestSchema(
    const pb::GetRequestSchemaRequest& request, const catalog::Catalog& catalog,
    const routing::RouteTable& table);

}  // namespace tao::api
