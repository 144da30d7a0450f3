#pragma once

// What the registry file should hold, given what it holds. Pure.

#include <set>
#include <string>
#include <vector>

#include "server/registry/registry_file_codec.h"

namespace tao::registry {

struct MergeInput {
  std::vector<FileEntry> ours;      // must be there, in the order they are appended
  std::set<std::string> withdrawn;  // must not be there: ours that ended, and what we stopped
};

struct Merged {
  FileContent content;
  bool entries_changed = false;  // something but "latest" differs: worth a write
};

// Entries of ours keep the fields that others added; entries of others stay as they are. "latest"
// is the entry with the greatest started_at (of equal ones the last in the file), and absent
// without entries.
Merged MergeFileContent(const FileContent& now, const MergeInput& input);

}  // namespace tao::registry
