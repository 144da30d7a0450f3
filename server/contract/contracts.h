#pragma once

// What each arch takes, made of request.yaml for quick judgement. Immutable, so that any number of
// threads may use it.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/catalog/request_schema.h"

namespace tao::contract {

// A sampling field, as one arch sees it.
struct FieldContract {
  catalog::FieldUse use = catalog::FieldUse::kApplies;
  catalog::FieldType type = catalog::FieldType::kString;
  catalog::Range range;
  std::string right;              // for people: "a whole number of at least 1"
  std::string container_default;  // empty: unknown
};

struct ArchContract {
  std::string network_arch;
  std::vector<FieldContract> fields;  // in the order of Contracts::field_names
  catalog::ArchConstraints media;
  // Whether it takes media of the kind at all.
  bool Takes(catalog::ContentKind kind) const;
  // The file name extensions of the kind; empty: any.
  const std::vector<std::string>& ExtensionsOf(catalog::ContentKind kind) const;
};

class Contracts {
 public:
  static std::shared_ptr<const Contracts> Build(const catalog::RequestSchema& schema);

  // Null: an arch without a row in request.yaml, which takes anything.
  const ArchContract* Find(std::string_view network_arch) const;
  const std::vector<ArchContract>& archs() const { return archs_; }

  // Roles, content items and schemes, which are the same for all.
  const catalog::ChatBody& chat() const { return chat_; }
  const std::vector<std::string>& field_names() const { return field_names_; }
  // -1: none of them.
  int FieldOf(std::string_view key) const;
  int ContentItemOf(std::string_view type) const;

 private:
  std::vector<ArchContract> archs_;
  catalog::ChatBody chat_;
  std::vector<std::string> field_names_;
  std::vector<std::vector<int>> fields_by_length_;
};

}  // namespace tao::contract
