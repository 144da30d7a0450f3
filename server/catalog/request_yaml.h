#pragma once

// request.yaml: how to talk to a running container.

#include <string>
#include <vector>

#include "server/catalog/request_schema.h"
#include "server/catalog/section.h"

namespace tao::catalog {

// `archs`: every network_arch there is, which the rows per arch name.
RequestSchema ReadRequestYaml(Section file, const std::vector<std::string>& archs);

}  // namespace tao::catalog
