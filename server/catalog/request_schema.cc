#include "server/catalog/request_schema.h"

#include <absl/strings/str_format.h>

namespace tao::catalog {

std::string_view ToString(FieldType type) {
  switch (type) {
    case FieldType::kInt:
      return "int";
    case FieldType::kFloat:
      return "float";
    case FieldType::kNumber:
      return "number";
    case FieldType::kString:
      return "string";
    case FieldType::kBool:
      break;
  }
  return "bool";
}

std::string_view ToString(ContentKind kind) {
  switch (kind) {
    case ContentKind::kText:
      return "text";
    case ContentKind::kImage:
      return "image";
    case ContentKind::kVideo:
      break;
  }
  return "video";
}

std::string ToText(const Range& range) {
  if (range.minimum.has_value() && range.maximum.has_value()) {
    return absl::StrFormat("from %g to %g", *range.minimum, *range.maximum);
  }
  std::string text;
  if (range.minimum.has_value()) text = absl::StrFormat("at least %g", *range.minimum);
  if (range.above.has_value()) text = absl::StrFormat("more than %g", *range.above);
  if (range.maximum.has_value()) {
    absl::StrAppendFormat(&text, "%sat most %g", text.empty() ? "" : " and ", *range.maximum);
  }
  return text;
}

bool Range::Holds(double value) const {
  return (!minimum.has_value() || value >= *minimum) && (!above.has_value() || value > *above) &&
         (!maximum.has_value() || value <= *maximum);
}

const FieldRule& RequestField::RuleFor(const std::string& network_arch) const {
  const auto own = archs.find(network_arch);
  return own == archs.end() ? rule : own->second;
}

}  // namespace tao::catalog
