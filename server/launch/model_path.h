#pragma once

// model_path and model_key: which model a container serves.

#include <string>
#include <vector>

#include "server/catalog/catalog.h"
#include "server/launch/request_check.h"

namespace tao::launch {

struct ModelSource {
  std::string path;      // the request's model_path
  std::string hub_name;  // `org/name` of a hf_model:// path; empty for a path in the container
  std::string key;       // the request's model_key
  bool on_hub() const { return !hub_name.empty(); }
};

// Checks both fields. `arch` may be null (an unknown arch is a violation of its own): then what
// depends on it is left unchecked.
ModelSource ReadModelSource(const LaunchRequest& request, const catalog::Catalog& catalog,
                            const catalog::Arch* arch, RequestCheck& check);

}  // namespace tao::launch
