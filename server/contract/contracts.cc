#include "server/contract/contracts.h"

#include <absl/strings/str_format.h>

#include <algorithm>

#include "server/base/strings.h"

namespace tao::contract {
namespace {

using catalog::ContentKind;
using catalog::FieldType;
using catalog::FieldUse;
using catalog::RequestField;

std::string_view Described(FieldType type) {
  switch (type) {
    case FieldType::kInt:
      return "a whole number";
    case FieldType::kFloat:
    case FieldType::kNumber:
      return "a number";
    case FieldType::kString:
      return "a string";
    case FieldType::kBool:
      break;
  }
  return "true or false";
}

// The archs that read the field.
std::vector<std::string> OwnersOf(const RequestField& field, const catalog::RequestSchema& schema) {
  std::vector<std::string> owners;
  for (const auto& [arch, constraints] : schema.archs) {
    if (field.RuleFor(arch).use == FieldUse::kApplies) owners.push_back(arch);
  }
  return owners;
}

FieldContract MakeField(const RequestField& field, const std::string& arch,
                        const catalog::RequestSchema& schema) {
  const catalog::FieldRule& rule = field.RuleFor(arch);
  FieldContract made{.use = rule.use,
                     .type = field.type,
                     .range = rule.range,
                     .right = std::string(Described(field.type)),
                     .container_default = rule.container_default};
  if (rule.use == FieldUse::kForeign) {
    made.right = absl::StrFormat("no %s for %s (it is a field of %s)", field.name, arch,
                                 base::JoinedList(OwnersOf(field, schema)));
  } else if (!rule.range.empty()) {
    absl::StrAppendFormat(&made.right, "%s%s",
                          rule.range.minimum && rule.range.maximum ? " " : " of ",
                          catalog::ToText(rule.range));
  }
  return made;
}

}  // namespace

bool ArchContract::Takes(ContentKind kind) const {
  if (kind == ContentKind::kText || (media.images.empty() && media.videos.empty())) return true;
  return !ExtensionsOf(kind).empty();
}

const std::vector<std::string>& ArchContract::ExtensionsOf(ContentKind kind) const {
  return kind == ContentKind::kImage ? media.images : media.videos;
}

std::shared_ptr<const Contracts> Contracts::Build(const catalog::RequestSchema& schema) {
  auto built = std::make_shared<Contracts>();
  built->chat_ = schema.chat;
  for (const RequestField& field : schema.chat.fields) {
    const size_t length = field.name.size();
    if (built->fields_by_length_.size() <= length) built->fields_by_length_.resize(length + 1);
    built->fields_by_length_[length].push_back(static_cast<int>(built->field_names_.size()));
    built->field_names_.push_back(field.name);
  }
  for (const auto& [name, constraints] : schema.archs) {
    ArchContract& arch = built->archs_.emplace_back();
    arch.network_arch = name;
    arch.media = constraints;
    for (const RequestField& field : schema.chat.fields) {
      arch.fields.push_back(MakeField(field, name, schema));
    }
  }
  return built;
}

const ArchContract* Contracts::Find(std::string_view network_arch) const {
  const auto found = std::find_if(archs_.begin(), archs_.end(), [&](const ArchContract& arch) {
    return arch.network_arch == network_arch;
  });
  return found == archs_.end() ? nullptr : &*found;
}

int Contracts::FieldOf(std::string_view key) const {
  if (key.size() >= fields_by_length_.size()) return -1;
  for (const int index : fields_by_length_[key.size()]) {
    if (field_names_[static_cast<size_t>(index)] == key) return index;
  }
  return -1;
}

int Contracts::ContentItemOf(std::string_view type) const {
  for (size_t i = 0; i < chat_.content_items.size(); ++i) {
    if (chat_.content_items[i].name == type) return static_cast<int>(i);
  }
  return -1;
}

}  // namespace tao::contract
