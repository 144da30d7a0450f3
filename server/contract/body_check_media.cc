// What the images and videos of a request may be.

#include <absl/strings/str_format.h>

#include <algorithm>

#include "server/base/strings.h"
#include "server/contract/body_check.h"

namespace tao::contract {
namespace {

using catalog::ContentKind;

bool Has(const std::vector<std::string>& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

std::string_view Article(ContentKind kind) {
  return kind == ContentKind::kImage ? "an image" : "a video";
}

std::string_view MediaTypePrefix(ContentKind kind) {
  return kind == ContentKind::kImage ? "image/" : "video/";
}

ContentKind OtherOf(ContentKind kind) {
  return kind == ContentKind::kImage ? ContentKind::kVideo : ContentKind::kImage;
}

// How media may come to the arch.
std::string Sources(const ArchContract& arch) {
  return arch.media.data_uris ? "a data: URI, an http(s):// URL or a path in the container"
                              : "an http(s):// URL or a path in the container";
}

std::string MediaTypesOf(const ArchContract& arch, ContentKind kind) {
  std::vector<std::string> types;
  for (const std::string& type : arch.media.mime_types) {
    if (type.starts_with(MediaTypePrefix(kind))) types.push_back(type);
  }
  if (types.empty()) return std::string(MediaTypePrefix(kind)) + "...";
  return base::JoinedList(types);
}

std::string Described(const Base64Framing& payload, Base64Framing::Fault fault) {
  using Fault = Base64Framing::Fault;
  switch (fault) {
    case Fault::kEmpty:
      return "no data after the comma";
    case Fault::kForeignByte:
      return absl::StrFormat("%s as character %d of the data",
                             base::Quoted(std::string(1, payload.bad_byte())),
                             payload.bad_at() + 1);
    case Fault::kAfterPadding:
      return absl::StrFormat("%s after the padding, as character %d of the data",
                             base::Quoted(std::string(1, payload.bad_byte())),
                             payload.bad_at() + 1);
    case Fault::kPadding:
      return "more than two characters of padding (=)";
    default:
      return absl::StrFormat("%d characters of data, no multiple of 4 (cut off, or no padding)",
                             payload.length());
  }
}

}  // namespace

void BodyCheck::JudgeUrl() {
  const ContentKind kind = contracts_->chat().content_items[static_cast<size_t>(payload_)].kind;
  for (Judge& judge : judges_) JudgeUrlFor(judge, kind);
}

void BodyCheck::JudgeUrlFor(Judge& judge, ContentKind kind) {
  const ArchContract& arch = *judge.arch;
  if (url_.kind() == MediaUrl::Kind::kEmpty) {
    return Add(judge, "an empty text", Sources(arch));
  }
  if (url_.kind() == MediaUrl::Kind::kScheme ||
      Has(contracts_->chat().refused_schemes, url_.scheme())) {
    const bool is_cloud = Has(contracts_->chat().refused_schemes, url_.scheme());
    return Add(judge,
               absl::StrFormat("%s%s", base::Quoted(url_.beginning(), 60),
                               is_cloud ? ", which containers do not read" : ""),
               Sources(arch));
  }
  if (!arch.Takes(kind)) {
    return Add(
        judge, std::string(Article(kind)),
        absl::StrFormat("%s: %s takes no other media", Article(OtherOf(kind)), arch.network_arch));
  }
  if (url_.kind() == MediaUrl::Kind::kData) return JudgeDataUrl(judge, kind);
  JudgeExtension(judge, kind);
}

void BodyCheck::JudgeDataUrl(Judge& judge, ContentKind kind) {
  const ArchContract& arch = *judge.arch;
  if (!arch.media.data_uris) return Add(judge, "a data: URI", Sources(arch));
  if (!url_.has_comma() || !url_.is_base64()) {
    return Add(
        judge, base::Quoted(url_.beginning(), 60),
        absl::StrFormat("data:TYPE;base64,DATA with a TYPE of %s", MediaTypesOf(arch, kind)));
  }
  const bool is_listed =
      arch.media.mime_types.empty() ? true : Has(arch.media.mime_types, url_.media_type());
  if (!url_.media_type().starts_with(MediaTypePrefix(kind)) || !is_listed) {
    Add(judge,
        url_.media_type().empty() ? "no media type"
                                  : "media type " + base::Quoted(url_.media_type(), 60),
        absl::StrFormat("%s: %s", Article(kind), MediaTypesOf(arch, kind)));
  }
  const Base64Framing::Fault fault = url_.payload().Finish();
  if (fault == Base64Framing::Fault::kNone) return;
  Add(judge, Described(url_.payload(), fault),
      "base64 (A to Z, a to z, 0 to 9, + and /), padded with = to a multiple of 4 characters");
}

// A name without an extension says nothing, and passes.
void BodyCheck::JudgeExtension(Judge& judge, ContentKind kind) {
  const std::vector<std::string>& right = judge.arch->ExtensionsOf(kind);
  const std::string_view extension = url_.extension();
  if (extension.empty() || right.empty() || Has(right, extension)) return;
  const bool is_other = Has(judge.arch->ExtensionsOf(OtherOf(kind)), extension);
  Add(judge,
      absl::StrFormat("a .%s file%s", extension,
                      is_other ? absl::StrFormat(", which is %s", Article(OtherOf(kind))) : ""),
      absl::StrFormat("%s: %s", Article(kind), base::JoinedList(right)));
}

}  // namespace tao::contract
