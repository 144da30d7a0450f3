#include "server/launch/mounts.h"

#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include <array>

#include "server/base/strings.h"

namespace tao::launch {
namespace {

constexpr size_t kMaxMounts = 64;
constexpr size_t kMaxPathBytes = 4096;  // PATH_MAX
constexpr std::string_view kForm = "SRC:DST or SRC:DST:ro, both absolute paths";

// The path without empty and "." parts. nullopt, with the violation added, when it is not absolute
// or has a "..", which would make equal folders look different.
std::optional<std::string> AbsolutePath(const std::string& field, std::string_view side,
                                        std::string_view path, RequestCheck& check) {
  if (path.empty() || path[0] != '/') {
    std::string advice;
    if (path.starts_with("~")) advice = "; ~ is for shells, write the home folder out";
    check.Add(field, absl::StrFormat("the %s %s is not an absolute path%s", side,
                                     base::Quoted(path), advice));
    return std::nullopt;
  }
  std::string normal;
  for (const absl::string_view part : absl::StrSplit(base::ToAbsl(path), '/')) {
    if (part == "..") {
      check.Add(field, absl::StrFormat("the %s %s has a \"..\"; write the path without it", side,
                                       base::Quoted(path)));
      return std::nullopt;
    }
    if (part.empty() || part == ".") continue;
    normal += '/';
    normal += base::ToStd(part);
  }
  return normal.empty() ? "/" : normal;
}

// Whether `path` is `folder` or inside it.
bool IsWithin(std::string_view path, std::string_view folder) {
  return path == folder || (path.starts_with(folder) && path[folder.size()] == '/');
}

bool AllowsDestination(const std::string& field, const Mount& mount,
                       const std::vector<Mount>& earlier, RequestCheck& check) {
  if (mount.destination == "/") {
    check.Add(field, "a mount at / would hide the whole container; give a folder below it");
    return false;
  }
  for (const std::string_view folder : {"/dev", "/proc", "/sys"}) {
    if (!IsWithin(mount.destination, folder)) continue;
    check.Add(field, absl::StrFormat("%s belongs to the container itself; mount elsewhere",
                                     base::Quoted(mount.destination)));
    return false;
  }
  for (const Mount& other : earlier) {
    if (other.destination != mount.destination) continue;
    check.Add(field, absl::StrFormat("%s is mounted twice, from %s and %s",
                                     base::Quoted(mount.destination), base::Quoted(other.source),
                                     base::Quoted(mount.source)));
    return false;
  }
  return true;
}

// Reads "SRC:DST[:ro]"; nullopt with the violation added.
std::optional<Mount> ParseMount(const std::string& field, const std::string& text,
                                RequestCheck& check) {
  if (!check.AllowsText(field, text, 2 * kMaxPathBytes + 4)) return std::nullopt;
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  if (parts.size() < 2 || parts.size() > 3) {
    check.Add(field,
              absl::StrFormat("%s: write %s%s", base::Quoted(text), kForm,
                              parts.size() > 3 ? " (a path with ':' cannot be mounted)" : ""));
    return std::nullopt;
  }
  if (parts.size() == 3 && parts[2] != "ro") {
    check.Add(field, absl::StrFormat("%s: %s is not a mount option; write :ro for read-only, or "
                                     "nothing",
                                     base::Quoted(text), base::Quoted(parts[2])));
    return std::nullopt;
  }
  const auto source = AbsolutePath(field, "source", parts[0], check);
  const auto destination = AbsolutePath(field, "destination", parts[1], check);
  if (!source.has_value() || !destination.has_value()) return std::nullopt;
  return Mount{.source = *source, .destination = *destination, .read_only = parts.size() == 3};
}

void ReadHfCache(const LaunchRequest& request, const LaunchContext& context, RequestCheck& check,
                 MountPlan& plan) {
  if (request.hf_cache.empty()) return;
  if (!check.AllowsText("hf_cache", request.hf_cache, kMaxPathBytes)) return;
  const auto source = AbsolutePath("hf_cache", "folder", request.hf_cache, check);
  if (!source.has_value()) return;
  if (context.host_filesystem) {
    plan.hf_home = *source;
    return;
  }
  if (source->find(':') != std::string::npos) {
    check.Add("hf_cache", absl::StrFormat("%s: a path with ':' cannot be mounted",
                                          base::Quoted(request.hf_cache)));
    return;
  }
  plan.hf_home = kHfCacheDestination;
  const Mount mount{.source = *source, .destination = plan.hf_home};
  if (AllowsDestination("hf_cache", mount, plan.mounts, check)) plan.mounts.push_back(mount);
}

}  // namespace

MountPlan ReadMounts(const LaunchRequest& request, const LaunchContext& context,
                     RequestCheck& check) {
  MountPlan plan;
  if (request.mounts.size() > kMaxMounts) {
    check.Add("mounts", absl::StrFormat("has %d entries; at most %d are allowed",
                                        request.mounts.size(), kMaxMounts));
    return plan;
  }
  for (size_t i = 0; i < request.mounts.size(); ++i) {
    const std::string field = absl::StrFormat("mounts[%d]", i);
    const std::optional<Mount> mount = ParseMount(field, request.mounts[i], check);
    if (!mount.has_value()) continue;
    if (context.host_filesystem) {
      if (mount->source != mount->destination) {
        check.Add(field, absl::StrFormat("%s runs on the host's own files, so nothing can be "
                                         "mounted elsewhere; leave the mount out and use %s",
                                         context.platform, base::Quoted(mount->source)));
      }
      continue;
    }
    if (AllowsDestination(field, *mount, plan.mounts, check)) plan.mounts.push_back(*mount);
  }
  ReadHfCache(request, context, check, plan);
  return plan;
}

}  // namespace tao::launch
