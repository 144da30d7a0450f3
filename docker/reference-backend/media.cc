#include "docker/reference-backend/media.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "docker/reference-backend/base64.h"
#include "docker/reference-backend/excerpt.h"

namespace tao::reference_backend {
namespace {

constexpr uint64_t kMaxDecodedBytes = uint64_t{512} << 20;
constexpr size_t kShownBytes = 100;  // of a URL or path, in the description

// The types of all archs together: which of them one arch takes is in request.yaml, and the
// gateway's to check.
constexpr std::string_view kMimeTypes[] = {
    "image/jpeg", "image/jpg",        "image/png", "image/webp",     "image/gif",
    "image/bmp",  "image/tiff",       "video/mp4", "video/avi",      "video/webm",
    "video/mkv",  "video/x-matroska", "video/mov", "video/quicktime"};

// How many bytes `text` decodes to, `left_out` digits of which are not there; nothing when it is
// not base64.
std::optional<uint64_t> DecodedBytes(std::string_view text, uint64_t left_out) {
  const uint64_t size = text.size() + left_out;
  if (size % 4 != 0) return std::nullopt;
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  const std::string_view digits = text.substr(0, text.size() - padding);
  if (!std::all_of(digits.begin(), digits.end(), IsBase64Digit)) return std::nullopt;
  return size / 4 * 3 - padding;
}

bool StartsWith(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}

std::string Shown(std::string_view text) { return Excerpt(text, kShownBytes); }

std::variant<MediaDescription, MediaError> DescribeData(std::string_view kind, std::string_view uri,
                                                        uint64_t left_out) {
  const size_t comma = uri.find(',');
  if (comma == std::string_view::npos) return MediaError{"data URI has no comma"};
  std::string_view header = uri.substr(5, comma - 5);
  constexpr std::string_view kBase64 = ";base64";
  if (header.size() < kBase64.size() || header.substr(header.size() - kBase64.size()) != kBase64) {
    return MediaError{"data URI is not ;base64"};
  }
  header.remove_suffix(kBase64.size());
  const std::string mime(header);
  const bool known =
      std::find(std::begin(kMimeTypes), std::end(kMimeTypes), mime) != std::end(kMimeTypes);
  if (!known || !StartsWith(mime, kind)) {
    return MediaError{"unsupported media type '" + Shown(mime) + "' for " + std::string(kind) +
                      "_url"};
  }
  const auto bytes = DecodedBytes(uri.substr(comma + 1), left_out);
  if (!bytes) return MediaError{"data URI of " + mime + " is not valid base64"};
  if (*bytes > kMaxDecodedBytes) {
    return MediaError{"data URI of " + mime + " is too large: " + std::to_string(*bytes) +
                      " bytes decoded, at most " + std::to_string(kMaxDecodedBytes)};
  }
  return MediaDescription{mime + " " + std::to_string(*bytes) + " bytes"};
}

}  // namespace

std::variant<MediaDescription, MediaError> DescribeMedia(std::string_view kind,
                                                         std::string_view url, uint64_t left_out) {
  if (StartsWith(url, "data:")) return DescribeData(kind, url, left_out);
  if (StartsWith(url, "http://") || StartsWith(url, "https://")) {
    return MediaDescription{std::string(kind) + " " + Shown(url)};
  }
  if (url.find("://") != std::string_view::npos) {
    return MediaError{"unsupported URI '" + Shown(url) +
                      "': expected data:, http://, https:// or a path in the container"};
  }
  if (url.empty()) return MediaError{std::string(kind) + "_url.url is empty"};
  return MediaDescription{std::string(kind) + " path " + Shown(url)};
}

}  // namespace tao::reference_backend
