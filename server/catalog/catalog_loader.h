#pragma once

// Reads the files of references/ into a Catalog.

#include <absl/status/statusor.h>

#include <memory>
#include <optional>
#include <string>

#include "server/catalog/catalog.h"
#include "server/catalog/findings.h"
#include "server/catalog/section.h"

namespace tao::catalog {

// One load. Externally synchronised.
class CatalogLoader {
 public:
  explicit CatalogLoader(std::string folder) : folder_(std::move(folder)) {}
  absl::StatusOr<std::shared_ptr<const Catalog>> Load();

 private:
  enum class Format { kYaml, kJson };
  // The tree of a file of the folder; null when it cannot be read, which is a finding.
  std::unique_ptr<DataNode> ReadFile(const std::string& name, Format format);

  void LoadVersions();
  void LoadService();
  void LoadArchConfig(Arch& arch);
  void FindStrayArchConfigs();
  void LoadRequest();

  const std::string folder_;
  Findings findings_;
  Catalog catalog_;
};

}  // namespace tao::catalog
