#pragma once

// The content of the registry file: a JSON object keyed by job_id, with the extra key "latest" that
// names the job_id started last. Other tools read and write it too; what they wrote, known to us or
// not, is handed on as it is. Pure.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "server/registry/raw_json.h"
#include "server/registry/service_record.h"

namespace tao::registry {

// The fields of an entry that we know. Empty and 0: absent.
struct FileEntry {
  std::string job_id;
  std::string platform;
  std::string platform_job_id;  // not for local-docker and brev, which find a job by its job_id
  std::string network_arch;
  std::string host_url;
  std::string docker_url;  // local-docker and brev
  int host_port = 0;       // local-docker, local-process, brev and slurm
  std::string slurm_node;
  std::string instance_id;                       // brev
  absl::Time started_at = absl::InfinitePast();  // ISO 8601, UTC
  friend bool operator==(const FileEntry&, const FileEntry&) = default;
};

// The entry that the file carries for a service of ours, with the fields its platform has.
FileEntry EntryOf(const ServiceRecord& record);

// "latest" and the entries, in the file's order. Plain data.
struct FileContent {
  std::vector<RawMember> members;
};
inline constexpr std::string_view kLatestKey = "latest";

// InvalidArgument: broken, or not an object.
absl::StatusOr<FileContent> ParseFileContent(std::string_view text);
std::string PrintFileContent(const FileContent& content);

// Whether `member` is an entry: not "latest", and an object.
bool IsEntry(const RawMember& member);
// What is known of an entry; fields of a wrong type are taken as absent. Its job_id is the member's
// name.
FileEntry ReadEntry(const RawMember& member);

// An entry of another tool, checked for what we do with it: the job_id is used in URLs, headers and
// lists, the host_url is dialled. InvalidArgument: cannot be routed to, and why.
absl::StatusOr<FileEntry> CheckedEntry(const RawMember& member);

// The JSON text of `entry` over what stands in the file (`before`; empty: nothing): our fields as
// they should be, all others as they are.
std::string PrintEntry(const FileEntry& entry, std::string_view before);

// Ports of this host that the entry holds.
std::set<int> PortsOnThisHost(const FileEntry& entry);

}  // namespace tao::registry
