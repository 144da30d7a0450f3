#include "server/registry/registry_file_merge.h"

#include <algorithm>
#include <map>
#include <optional>

namespace tao::registry {
namespace {

void SetLatest(const std::map<std::string, absl::Time>& exact, FileContent& content) {
  std::optional<std::string> latest;
  absl::Time greatest = absl::InfinitePast();
  for (const RawMember& member : content.members) {
    if (!IsEntry(member)) continue;
    const FileEntry entry = ReadEntry(member);
    // The file has whole seconds; of ours we know better.
    const auto ours = exact.find(member.name);
    const absl::Time started = ours == exact.end() ? entry.started_at : ours->second;
    // An object that is no service (some tool's own data) is never started last.
    if (started == absl::InfinitePast() && entry.host_url.empty()) continue;
    if (latest.has_value() && started < greatest) continue;
    greatest = started;
    latest = member.name;
  }
  const auto at = std::find_if(content.members.begin(), content.members.end(),
                               [](const RawMember& member) { return member.name == kLatestKey; });
  if (!latest.has_value()) {
    if (at != content.members.end()) content.members.erase(at);
  } else if (at == content.members.end()) {
    content.members.push_back(MakeMember(kLatestKey, QuotedJson(*latest)));
  } else {
    at->value = QuotedJson(*latest);
  }
}

}  // namespace

Merged MergeFileContent(const FileContent& now, const MergeInput& input) {
  Merged merged;
  std::map<std::string, const FileEntry*> missing;
  std::map<std::string, absl::Time> exact;
  for (const FileEntry& entry : input.ours) {
    missing[entry.job_id] = &entry;
    exact[entry.job_id] = entry.started_at;
  }
  for (const RawMember& member : now.members) {
    if (const auto ours = missing.find(member.name); ours != missing.end()) {
      RawMember& kept = merged.content.members.emplace_back(member);
      // Both indented alike, so that only a difference of value counts.
      const std::string before = PrintObject({MakeMember("", member.value)});
      kept.value = PrintEntry(*ours->second, member.value);
      merged.entries_changed |= before != PrintObject({MakeMember("", kept.value)});
      missing.erase(ours);
    } else if (input.withdrawn.contains(member.name)) {
      merged.entries_changed = true;
    } else {
      merged.content.members.push_back(member);
    }
  }
  for (const FileEntry& entry : input.ours) {
    if (!missing.contains(entry.job_id)) continue;
    merged.content.members.push_back(MakeMember(entry.job_id, PrintEntry(entry, "")));
    merged.entries_changed = true;
  }
  SetLatest(exact, merged.content);
  return merged;
}

}  // namespace tao::registry
