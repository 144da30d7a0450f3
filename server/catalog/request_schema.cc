#include "server/catalog/request_schema.h"

namespace tao::catalog {

bool Range::Holds(double value) const {
  return (!minimum.has_value() || value >= *minimum) && (!above.has_value() || value > *above) &&
         (!maximum.has_value() || value <= *maximum);
}

const FieldRule& RequestField::RuleFor(const std::string& network_arch) const {
  const auto own = archs.find(network_arch);
  return own == archs.end() ? rule : own->second;
}

}  // namespace tao::catalog
