#pragma once

// What --image and --video name: a file here, a URL, or a path in the container.

#include <absl/status/statusor.h>

#include <string>

#include "tao/inference/v1/inference.pb.h"

namespace tao::cli {

namespace pb = ::tao::inference::v1;

enum class MediaKind { kImage, kVideo };

// Largest file that is sent: a message to the daemon has at most 256 MiB unless it is set
// otherwise.
inline constexpr int64_t kMaxMediaBytes = int64_t{250} << 20;

// Whether `name` says where it is by itself: http://..., data:..., s3://...
bool IsUrl(const std::string& name);

// The MIME type of a file of this name, as `rules` writes it where it lists MIME types. Empty: the
// extension says nothing.
std::string MimeTypeOf(const std::string& file, MediaKind kind, const pb::MediaRules& rules);

// `name` as it is sent. A file here is read, and travels as bytes; an absolute path that is no file
// here, and each for an arch that takes no bytes, is a path inside the container. Blocks.
// InvalidArgument: there is no such file, it is none, too large, of no known type, or the arch
// takes no bytes; with what to do instead.
absl::StatusOr<pb::Media> ReadMedia(const std::string& name, MediaKind kind,
                                    const pb::GetRequestSchemaResponse& schema);

}  // namespace tao::cli
