#pragma once

// A broken file is evidence: it is renamed, never deleted and never written over.

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

namespace tao::registry {

// Renames `path` to `path` + `suffix`, or, where that name is taken, to that with "-2", "-3", ...
// after it. Returns the new path. Blocks for the rename; the folder is not fsync'ed.
absl::StatusOr<std::string> KeepAside(const std::string& path, std::string_view suffix);

}  // namespace tao::registry
