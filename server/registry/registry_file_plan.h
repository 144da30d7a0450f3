#pragma once

// What one look at the registry file means: what to write, who has vanished, which entries are
// others'. Pure; registry_file_sync.cc carries it out.

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "server/registry/registry_file.h"
#include "server/registry/registry_file_codec.h"

namespace tao::registry {

// What the daemon knows when it looks.
struct SyncKnowledge {
  std::map<std::string, FileEntry, std::less<>> published;  // must be in the file
  std::set<std::string, std::less<>>
      in_file;  // of `published`: were in it at the last look or write
  std::set<std::string, std::less<>>
      vanished;  // of `published`: lifecycle was asked, and did not answer
  // Whether an entry that is not in `published` must go: a service of ours that ended, or what we
  // took out.
  std::function<bool(const std::string& job_id)> is_withdrawn;
};

struct SyncPlan {
  std::optional<FileContent> write;         // absent: the file is right as it is
  std::set<std::string> ours;               // of `published`: in the file once `write` is written
  std::set<std::string> present;            // of `published`: in the file already
  std::vector<std::string> newly_vanished;  // another tool took them out of a file that is there
  std::vector<RawMember> foreign;  // other tools' entries, and whatever else they keep there
};

// A published entry that is not in the file is written, unless it was there before and the file
// still is: then another tool removed it, and only the platform knows whether it was right. A file
// that is missing as a whole says nothing about its entries.
SyncPlan PlanSync(const RegistryFile::Reading& reading, const SyncKnowledge& known);

}  // namespace tao::registry
