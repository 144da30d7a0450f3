#include "server/registry/registry_file_codec.h"

#include <absl/strings/str_format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "server/base/clock.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/registry/host_url.h"

namespace tao::registry {
namespace {

using Json = nlohmann::json;

constexpr size_t kLongestName = 128;
constexpr size_t kLongestField = 1024;
constexpr int kHighestPort = 65535;

bool IsOneOf(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// Other tools write Python's isoformat(): with or without fraction and zone, "T" or a space.
// Without a zone it is UTC.
absl::Time ParseStartedAt(const std::string& text) {
  absl::Time time;
  for (const char* const format : {absl::RFC3339_full, "%Y-%m-%dT%H:%M:%E*S",
                                   "%Y-%m-%d %H:%M:%E*S%Ez", "%Y-%m-%d %H:%M:%E*S"}) {
    if (!absl::ParseTime(format, text, absl::UTCTimeZone(), &time, nullptr)) continue;
    // "infinite-future" would be the latest for ever.
    return time == absl::InfiniteFuture() ? absl::InfinitePast() : time;
  }
  return absl::InfinitePast();
}

// nullopt when `value` is no JSON text of that type.
std::optional<std::string> ReadText(std::string_view value) {
  if (!value.starts_with('"')) return std::nullopt;
  const Json json = Json::parse(value, nullptr, /*allow_exceptions=*/false);
  if (!json.is_string()) return std::nullopt;
  return json.get<std::string>();
}

int ReadPort(std::string_view value) {
  const Json json = Json::parse(value, nullptr, /*allow_exceptions=*/false);
  if (!json.is_number_integer()) return 0;
  const auto port = json.get<int64_t>();
  return port >= 1 && port <= kHighestPort ? static_cast<int>(port) : 0;
}

struct TextField {
  std::string_view name;
  std::string FileEntry::*field;
};

// All but job_id (the member's name), host_port and started_at, in the order they are written.
constexpr TextField kTextFields[] = {
    {"platform", &FileEntry::platform},         {"platform_job_id", &FileEntry::platform_job_id},
    {"network_arch", &FileEntry::network_arch}, {"host_url", &FileEntry::host_url},
    {"docker_url", &FileEntry::docker_url},     {"slurm_node", &FileEntry::slurm_node},
    {"instance_id", &FileEntry::instance_id},
};

// The known fields as members; an empty value: the field is absent.
std::vector<std::pair<std::string_view, std::string>> KnownFields(const FileEntry& entry) {
  std::vector<std::pair<std::string_view, std::string>> fields;
  fields.emplace_back("job_id", QuotedJson(entry.job_id));
  for (const auto& [name, field] : kTextFields) {
    const std::string& text = entry.*field;
    fields.emplace_back(name, text.empty() ? "" : QuotedJson(text));
    if (name != "docker_url") continue;
    fields.emplace_back("host_port", entry.host_port == 0 ? "" : std::to_string(entry.host_port));
  }
  const bool started = entry.started_at != absl::InfinitePast();
  fields.emplace_back("started_at", started ? QuotedJson(base::FormatUtc(entry.started_at)) : "");
  return fields;
}

// Equal as JSON: spacing and escapes aside.
bool SameValue(std::string_view a, std::string_view b) {
  if (a == b) return true;
  return Json::parse(a, nullptr, false) == Json::parse(b, nullptr, false);
}

absl::Status BadEntry(std::string_view job_id, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrFormat("entry %s: %s", base::Quoted(job_id), why));
}

// Letters, digits and - . _ : safe in URLs, header values, container names and shells.
bool IsSafeName(std::string_view text) {
  if (text.empty() || text.size() > kLongestName || text == "." || text == "..") return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
  });
}

bool IsPlainText(std::string_view text) {
  return text.size() <= kLongestField && std::none_of(text.begin(), text.end(), [](char c) {
           return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
         });
}

}  // namespace

FileEntry EntryOf(const ServiceRecord& record) {
  const std::string_view platform = record.platform;
  const bool found_by_name = IsOneOf(platform, {"local-docker", "brev"});
  FileEntry entry;
  entry.job_id = record.job_id;
  entry.platform = record.platform;
  entry.network_arch = record.network_arch;
  entry.host_url = record.host_url;
  entry.started_at = record.started_at;
  if (found_by_name) entry.docker_url = record.docker_url;
  if (!found_by_name) entry.platform_job_id = record.platform_job_id;
  if (found_by_name || IsOneOf(platform, {"local-process", "slurm"})) {
    // The port that host_url leads to, but on an instance that the entry names: there it is the
    // instance's own, and a tunnel's is in host_url alone.
    const bool there =
        platform == "brev" || record.host_url.ends_with(":" + std::to_string(record.instance_port));
    entry.host_port = record.instance_port != 0 && there ? record.instance_port : record.host_port;
  }
  if (platform == "slurm") entry.slurm_node = record.slurm_node;
  if (platform == "brev") entry.instance_id = record.instance_id;
  return entry;
}

absl::StatusOr<FileContent> ParseFileContent(std::string_view text) {
  ASSIGN_OR_RETURN(std::vector<RawMember> members, SplitObject(text));
  return FileContent{.members = std::move(members)};
}

std::string PrintFileContent(const FileContent& content) {
  return PrintObject(content.members) + "\n";
}

bool IsEntry(const RawMember& member) {
  return member.name != kLatestKey && member.value.starts_with('{');
}

FileEntry ReadEntry(const RawMember& member) {
  FileEntry entry;
  entry.job_id = member.name;
  const absl::StatusOr<std::vector<RawMember>> fields = SplitObject(member.value);
  if (!fields.ok()) return entry;
  for (const RawMember& field : *fields) {
    for (const TextField& known : kTextFields) {
      if (field.name == known.name) entry.*known.field = ReadText(field.value).value_or("");
    }
    if (field.name == "host_port") entry.host_port = ReadPort(field.value);
    if (field.name == "started_at") {
      entry.started_at = ParseStartedAt(ReadText(field.value).value_or(""));
    }
  }
  return entry;
}

absl::StatusOr<FileEntry> CheckedEntry(const RawMember& member) {
  const std::string& job_id = member.name;
  if (!IsEntry(member)) return BadEntry(job_id, "it is not a JSON object");
  if (!IsSafeName(job_id)) {
    return BadEntry(
        job_id, "its job_id must be 1 to 128 letters, digits and - . _, since it stands in URLs");
  }
  ASSIGN_OR_RETURN(const std::vector<RawMember> fields, SplitObject(member.value));
  for (const RawMember& field : fields) {
    if (field.name == "job_id" && ReadText(field.value) != job_id) {
      return BadEntry(job_id, absl::StrFormat("its field job_id is %s", base::Quoted(field.value)));
    }
  }
  FileEntry entry = ReadEntry(member);
  if (!entry.network_arch.empty() && !IsSafeName(entry.network_arch)) {
    return BadEntry(
        job_id, absl::StrFormat("network_arch %s is no name", base::Quoted(entry.network_arch)));
  }
  for (const auto& [name, field] : kTextFields) {
    if (!IsPlainText(entry.*field)) {
      return BadEntry(job_id,
                      absl::StrFormat("%s is longer than 1024 bytes or has control bytes", name));
    }
  }
  if (entry.host_url.empty()) return BadEntry(job_id, "host_url is missing");
  if (const auto url = ParseHostUrl(entry.host_url); !url.ok()) {
    return BadEntry(job_id, base::ToStd(url.status().message()));
  }
  return entry;
}

std::string PrintEntry(const FileEntry& entry, std::string_view before) {
  std::vector<RawMember> members;
  if (before.starts_with('{')) {
    if (auto fields = SplitObject(before); fields.ok()) members = *std::move(fields);
  }
  for (auto& [name, value] : KnownFields(entry)) {
    const auto same =
        std::find_if(members.begin(), members.end(),
                     [&name = name](const RawMember& member) { return member.name == name; });
    if (same == members.end()) {
      if (!value.empty()) members.push_back(MakeMember(name, std::move(value)));
    } else if (value.empty()) {
      members.erase(same);
    } else if (!SameValue(same->value, value)) {
      same->value = std::move(value);
    }
  }
  return PrintObject(members);
}

std::set<int> PortsOnThisHost(const FileEntry& entry) {
  std::set<int> ports;
  if (entry.host_port != 0 && IsOneOf(entry.platform, {"local-docker", "local-process"})) {
    ports.insert(entry.host_port);
  }
  // Tunnels to other platforms end here.
  const absl::StatusOr<HostUrl> url = ParseHostUrl(entry.host_url);
  if (url.ok() && IsThisHost(url->host)) ports.insert(url->port);
  return ports;
}

}  // namespace tao::registry
