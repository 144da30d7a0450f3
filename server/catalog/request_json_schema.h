#pragma once

// The request of an arch as JSON Schema (draft 2020-12), for editors, form builders and validators
// of other languages. Pure; thread-safe.

#include <string>

#include "server/catalog/request_schema.h"

namespace tao::catalog {

// The body of POST /v1/chat/completions for `network_arch`: messages as the arch takes them, and
// the sampling fields that apply, in the order of the file. What does not apply is not listed;
// other members are allowed, as they are relayed. Beside JSON Schema's own words a field has
// `x-tao-container-default` where that is known.
std::string RequestJsonSchema(const RequestSchema& schema, const std::string& network_arch);

}  // namespace tao::catalog
