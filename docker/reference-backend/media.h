#pragma once

// One image_url or video_url of a message, as the container takes it. Pure.

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace tao::reference_backend {

struct MediaDescription {
  std::string text;  // "image/png 70 bytes", "image http://host/x.png", "video path /data/x.mp4"
};

struct MediaError {
  std::string message;
};

// `kind` is image or video. A data: URI must be base64 of a known MIME type of this kind, and at
// most 512 MiB decoded; s3, gs, az, cs and aws URIs are refused. Nothing is fetched or opened.
// `left_out` base64 digits are missing in `url` (json_bytes.h).
std::variant<MediaDescription, MediaError> DescribeMedia(std::string_view kind,
                                                         std::string_view url, uint64_t left_out);

}  // namespace tao::reference_backend
