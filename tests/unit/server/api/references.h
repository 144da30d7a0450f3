#pragma once

// The references of this release, for tests that need any.

#include <memory>
#include <string>

#include "server/catalog/catalog.h"

namespace tao::api {

inline const catalog::Catalog& References() {
  static const auto& loaded = *new std::shared_ptr<const catalog::Catalog>(
      *catalog::Catalog::Load(TAO_SOURCE_DIR "/references"));
  return *loaded;
}

}  // namespace tao::api
