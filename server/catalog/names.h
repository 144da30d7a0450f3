#pragma once

// The spellings that reference data may use, each checked where it enters.

#include <string_view>

namespace tao::catalog {

// A network_arch: lower-case letters, digits, `.`, `_` and `-`, beginning with a letter or digit,
// at most 64 characters. Safe as a part of a file name and of a URL path.
bool IsArchName(std::string_view text);

// An image key: upper-case letters, digits and `_`, so that IMAGE_<KEY> is an environment name.
bool IsImageKey(std::string_view text);

// An environment name in the portable spelling: upper-case letters, digits and `_`, no digit first.
bool IsEnvName(std::string_view text);

// The name of an `--arch-option`: lower-case letters, digits, `_` and `-`.
bool IsOptionName(std::string_view text);

// The name of a member of a request body: letters, digits and `_`, no digit first.
bool IsFieldName(std::string_view text);

// A file name extension: lower-case letters and digits.
bool IsExtension(std::string_view text);

// The media type of an image or a video, in lower case: image/png.
bool IsMediaType(std::string_view text);

// A command line flag: begins with `-`, no white space, no `=`.
bool IsFlag(std::string_view text);

// `xyz://` in lower case.
bool IsProtocol(std::string_view text);

// An image reference, loosely ([registry/]name[:tag][@digest]): what cannot be taken for a flag and
// has no character that no registry knows. At most 512 characters.
bool IsImageReference(std::string_view text);

}  // namespace tao::catalog
