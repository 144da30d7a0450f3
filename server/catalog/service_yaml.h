#pragma once

// service.yaml: how services are started.

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "server/catalog/catalog.h"
#include "server/catalog/section.h"

namespace tao::catalog {

struct ServiceData {
  std::map<std::string, std::string> image_mapping;
  std::string fallback_image_key;
  std::vector<Arch> archs;  // without what <network_arch>.config.json decides
  std::vector<std::string> plain_env_names, forbidden_env_names;
  Secrets secrets;
  std::vector<std::pair<std::string, Term>> payload_env;
  std::vector<PayloadMember> job_payload;
  std::vector<std::string> accepted_protocols;
  std::vector<RefusedProtocol> refused_protocols;
};

// `versions`: the keys of versions.yaml, which image keys point at.
ServiceData ReadServiceYaml(Section file, const std::map<std::string, std::string>& versions);

}  // namespace tao::catalog
