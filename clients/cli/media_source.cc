#include "clients/cli/media_source.h"

#include <absl/strings/str_format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "clients/cli/terminal_text.h"
#include "server/base/strings.h"

namespace tao::cli {
namespace {

struct Extension {
  const char* extension;
  MediaKind kind;
  std::vector<std::string> mime_types;  // the usual one first
};

const std::vector<Extension>& Extensions() {
  static const auto& extensions = *new std::vector<Extension>{
      {"jpg", MediaKind::kImage, {"image/jpeg"}},
      {"jpeg", MediaKind::kImage, {"image/jpeg"}},
      {"png", MediaKind::kImage, {"image/png"}},
      {"webp", MediaKind::kImage, {"image/webp"}},
      {"gif", MediaKind::kImage, {"image/gif"}},
      {"bmp", MediaKind::kImage, {"image/bmp"}},
      {"tif", MediaKind::kImage, {"image/tiff"}},
      {"tiff", MediaKind::kImage, {"image/tiff"}},
      {"mp4", MediaKind::kVideo, {"video/mp4"}},
      {"webm", MediaKind::kVideo, {"video/webm"}},
      {"mkv", MediaKind::kVideo, {"video/x-matroska", "video/mkv"}},
      {"avi", MediaKind::kVideo, {"video/x-msvideo", "video/avi"}},
      {"mov", MediaKind::kVideo, {"video/quicktime", "video/mov"}},
  };
  return extensions;
}

const char* FlagOf(MediaKind kind) { return kind == MediaKind::kImage ? "--image" : "--video"; }

absl::Status Refused(const std::string& name, MediaKind kind, const std::string& why) {
  return absl::InvalidArgumentError(
      absl::StrFormat("%s %s %s", FlagOf(kind), base::Quoted(name), why));
}

}  // namespace

bool IsUrl(const std::string& name) {
  const size_t colon = name.find(':');
  if (colon == std::string::npos || colon == 0) return false;
  const bool scheme = std::all_of(name.begin(), name.begin() + static_cast<ptrdiff_t>(colon),
                                  [](unsigned char c) { return std::isalnum(c) != 0 || c == '+'; });
  return scheme && (name.compare(colon, 3, "://") == 0 || name.starts_with("data:"));
}

std::string MimeTypeOf(const std::string& file, MediaKind kind, const pb::MediaRules& rules) {
  const size_t dot = file.rfind('.');
  if (dot == std::string::npos) return "";
  const std::string extension = base::AsciiLower(file.substr(dot + 1));
  for (const Extension& known : Extensions()) {
    if (known.extension != extension || known.kind != kind) continue;
    for (const std::string& listed : rules.mime_types()) {
      const auto& types = known.mime_types;
      if (std::find(types.begin(), types.end(), listed) != types.end()) return listed;
    }
    return known.mime_types.front();
  }
  return "";
}

absl::StatusOr<pb::Media> ReadMedia(const std::string& name, MediaKind kind,
                                    const pb::GetRequestSchemaResponse& schema) {
  pb::Media media;
  std::error_code error;
  const bool is_here = std::filesystem::exists(name, error);
  const bool takes_data = !schema.has_media() || schema.media().takes_data();
  const bool absolute = name.starts_with("/");
  if (IsUrl(name) || (absolute && (!is_here || !takes_data))) {
    media.set_url(name);
    return media;
  }
  if (!is_here) {
    return Refused(name, kind,
                   "is neither a file here, nor a URL, nor an absolute path inside the "
                   "container");
  }
  if (!takes_data) {
    return Refused(name, kind,
                   absl::StrFormat("is a file here, and the container of %s takes no files from a "
                                   "client (no data: URIs); give an http(s) URL that it can reach, "
                                   "or the absolute path of the file inside the container (start "
                                   "it with --mount)",
                                   OneLine(schema.network_arch())));
  }
  if (!std::filesystem::is_regular_file(name, error)) return Refused(name, kind, "is no file");
  const uintmax_t size = std::filesystem::file_size(name, error);
  if (!error && size > static_cast<uintmax_t>(kMaxMediaBytes)) {
    return Refused(name, kind,
                   absl::StrFormat("has %d MiB, and at most %d are sent; give an http(s) URL, or a "
                                   "path inside the container",
                                   size >> 20, kMaxMediaBytes >> 20));
  }
  media.set_mime_type(MimeTypeOf(name, kind, schema.media()));
  if (media.mime_type().empty()) {
    std::vector<std::string> known;
    for (const Extension& each : Extensions()) {
      if (each.kind == kind) known.push_back(each.extension);
    }
    return Refused(
        name, kind,
        absl::StrFormat("has no extension that tells what it is (%s)", base::JoinedList(known)));
  }
  std::ifstream file(name, std::ios::binary);
  errno = 0;
  std::string& data = *media.mutable_data();
  data.resize(static_cast<size_t>(size));
  file.read(data.data(), static_cast<std::streamsize>(data.size()));
  if (!file || error) {
    return Refused(name, kind,
                   absl::StrFormat("cannot be read: %s",
                                   errno != 0 ? std::strerror(errno) : "it has just changed"));
  }
  if (data.empty()) return Refused(name, kind, "is empty");
  return media;
}

}  // namespace tao::cli
