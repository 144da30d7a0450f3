#pragma once

// A parsed request or response head. Every string_view points into the buffer it was parsed from,
// which must neither move nor change while the head is used.

#include "gateway/http/field.h"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tao::http {

// Methods we know (RFC 9110 section 9, RFC 5789). Any other, and CONNECT, ends in 501 in the
// parser.
enum class Method : uint8_t { kGet, kHead, kPost, kPut, kDelete, kOptions, kTrace, kPatch };

std::string_view NameOf(Method method);

// HTTP/1.2 and above count as 1.1 (RFC 9110 section 2.5).
enum class Version : uint8_t { kHttp10, kHttp11 };

enum class TargetForm : uint8_t {
  kOrigin,    // /path?query
  kAbsolute,  // http://authority/path?query
  kAsterisk,  // *, with OPTIONS only
};

struct RequestHead {
  Method method = Method::kGet;
  Version version = Version::kHttp11;
  TargetForm form = TargetForm::kOrigin;
  std::string_view target;     // as sent
  std::string_view authority;  // of the absolute form, unchecked (authority.h); else empty
  std::string_view path;   // as sent, still percent-encoded; "/" where the absolute form has none,
                           // "*" for the asterisk form
  std::string_view query;  // as sent, without the question mark
  bool has_query = false;  // tells "/x?" from "/x"
  FieldList fields;
};

struct ResponseHead {
  Version version = Version::kHttp11;
  int status = 0;           // 100 to 599
  std::string_view reason;  // may be empty
  FieldList fields;
};

// Bounds of one head. A head of exactly the limit is accepted.
struct HeadLimits {
  size_t start_line_bytes = 16 * 1024;   // without its CRLF; 414 for a request
  size_t field_line_bytes = 32 * 1024;   // one line, without its CRLF; 431
  size_t section_bytes = 64 * 1024;      // all field lines with their CRLFs; 431
  size_t fields = FieldList::kCapacity;  // at most FieldList::kCapacity; 431
};

}  // namespace tao::http
