#pragma once

// What the URL of an image or a video says of itself, read as it comes in pieces. Of a data: URI
// only what stands before its comma is kept, of others only a bounded beginning and the extension.

#include <cstdint>
#include <string>
#include <string_view>

#include "server/contract/base64_framing.h"

namespace tao::contract {

// Externally synchronised.
class MediaUrl {
 public:
  enum class Kind {
    kEmpty,
    kData,    // data:...
    kHttp,    // http://, https://
    kScheme,  // another one
    kPath,    // none: a path in the container
  };

  // The next piece. Returns how much of it stands before the payload of a data: URI: all of it for
  // others.
  size_t Feed(std::string_view piece);
  // After the last piece.
  void Finish();

  Kind kind() const { return kind_; }
  std::string_view beginning() const { return head_; }  // for people, of whatever kind
  std::string_view scheme() const { return scheme_; }   // of kScheme, in lower case: "s3://"
  // Of the file that the path names, in lower case without the dot; empty if it has none. A query
  // and a fragment are no part of it, and neither are digits alone ("v1.2").
  std::string_view extension() const { return extension_; }

  // Of kData. In lower case, without parameters; may be empty.
  std::string_view media_type() const { return media_type_; }
  bool has_comma() const { return in_payload_; }
  bool is_base64() const { return is_base64_; }
  const Base64Framing& payload() const { return payload_; }

 private:
  // Which part of a URL the next byte belongs to, once its scheme is known.
  enum class Part { kHead, kAuthority, kPath, kRest };

  size_t FeedData(std::string_view piece);
  void FeedPath(std::string_view text);
  void DecideKind();
  void ReadDataHead();

  Kind kind_ = Kind::kEmpty;
  Part part_ = Part::kHead;
  std::string head_;
  std::string scheme_, extension_, media_type_;
  bool has_dot_ = false;  // in the present segment of the path
  bool in_payload_ = false;
  bool is_base64_ = false;
  Base64Framing payload_;
};

}  // namespace tao::contract
