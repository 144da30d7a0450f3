#include "server/registry/registry_file_plan.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "server/registry/registry_file_merge.h"

namespace tao::registry {

SyncPlan PlanSync(const RegistryFile::Reading& reading, const SyncKnowledge& known) {
  SyncPlan plan;
  MergeInput input;
  for (const RawMember& member : reading.content.members) {
    if (member.name == kLatestKey) continue;
    if (known.published.contains(member.name)) {
      plan.present.insert(member.name);
    } else if (known.is_withdrawn(member.name)) {
      input.withdrawn.insert(member.name);
    } else {
      plan.foreign.push_back(member);
    }
  }
  for (const auto& [job_id, entry] : known.published) {
    if (!plan.present.contains(job_id)) {
      if (known.vanished.contains(job_id)) continue;
      if (!reading.missing && known.in_file.contains(job_id)) {
        plan.newly_vanished.push_back(job_id);
        continue;
      }
    }
    plan.ours.insert(job_id);
    input.ours.push_back(entry);
  }
  std::sort(input.ours.begin(), input.ours.end(), [](const FileEntry& a, const FileEntry& b) {
    return std::tie(a.started_at, a.job_id) < std::tie(b.started_at, b.job_id);
  });
  Merged merged = MergeFileContent(reading.content, input);
  if (merged.entries_changed) plan.write = std::move(merged.content);
  return plan;
}

}  // namespace tao::registry
