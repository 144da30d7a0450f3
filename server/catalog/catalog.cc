#include "server/catalog/catalog.h"

#include <absl/strings/str_format.h>

#include <algorithm>

#include "server/base/strings.h"

namespace tao::catalog {

std::string_view ToString(ModelPathKind kind) {
  return kind == ModelPathKind::kFolder ? "folder" : "file";
}

std::string_view ToString(OptionType type) {
  switch (type) {
    case OptionType::kString:
      return "string";
    case OptionType::kInt:
      return "int";
    case OptionType::kFloat:
      return "float";
    case OptionType::kFlag:
      return "flag";
  }
  return "";
}

bool Arch::has_port_flag() const {
  return std::any_of(command.begin(), command.end(), [](const CommandItem& item) {
    return item.kind == CommandItem::Kind::kPortFlag;
  });
}

bool Arch::takes_model_key() const {
  return std::any_of(command.begin(), command.end(), [](const CommandItem& item) {
    return item.kind == CommandItem::Kind::kValue && item.value == Value::kCheckpoint;
  });
}

const Arch* Catalog::FindArch(std::string_view network_arch) const {
  const std::string name = base::AsciiLower(network_arch);
  for (const Arch& arch : archs_) {
    if (arch.name == name) return &arch;
  }
  return nullptr;
}

std::vector<std::string> Catalog::arch_names() const {
  std::vector<std::string> names;
  for (const Arch& arch : archs_) names.push_back(arch.name);
  return names;
}

Catalog::Image Catalog::ResolveImage(std::string_view image_key,
                                     const EnvironmentLookup& environment) const {
  const std::string variable = absl::StrFormat("IMAGE_%s", image_key);
  if (const std::optional<std::string> value = environment(variable);
      value.has_value() && !value->empty()) {
    const auto version = versions_.find(*value);
    if (version == versions_.end()) {
      return {.reference = *value, .source = variable, .variable = variable};
    }
    return {.reference = version->second,
            .source = absl::StrFormat("%s, versions.yaml %s", variable, version->first),
            .variable = variable};
  }
  const auto mapped = image_mapping_.find(std::string(image_key));
  if (mapped == image_mapping_.end()) {
    Image fallback = ResolveImage(fallback_image_key_, environment);
    fallback.source += absl::StrFormat(" (image key %s is unknown, so %s's image is used)",
                                       image_key, fallback_image_key_);
    return fallback;
  }
  // Load() has checked that every mapped key exists.
  return {.reference = versions_.at(mapped->second),
          .source = absl::StrFormat("versions.yaml %s", mapped->second),
          .variable = ""};
}

}  // namespace tao::catalog
