#pragma once

// Writes heads, with our own version and in canonical form, to the end of a std::string that the
// caller reuses, so that a steady connection allocates nothing.
//
//   HeadWriter head(out);
//   head.StatusLine(200);
//   head.Fields(upstream.fields, forwarding.kept);
//   head.Field(FieldId::kXRequestId, id);
//   head.Chunked();
//   if (!head.End()) ...  // a value held a control byte: nothing was written
//
// Whatever does not follow the grammar is never written: the whole head is withdrawn and End() says
// so. A CR, LF or NUL can therefore not reach the wire, wherever the value came from.

#include "gateway/http/head.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tao::http {

// The phrase for a status line; "Unknown" for a status without one.
std::string_view ReasonPhrase(int status);

class HeadWriter {
 public:
  // Appends to `out`, which must outlive the writer and must not be changed by others until End().
  explicit HeadWriter(std::string& out) : out_(out), begin_(out.size()) {
    out_.reserve(begin_ + kUsualBytes);  // else it would grow six times over
  }

  // One of these first. The target is `base_path` (the backend's, without a trailing slash; mostly
  // empty), `path` and, if there is one, "?" and `query`, all as they were sent to us.
  void RequestLine(Method method, std::string_view base_path, std::string_view path,
                   std::optional<std::string_view> query);
  void StatusLine(int status);

  // The kept lines, byte for byte in their order. They come from the parser, so they are not
  // checked.
  void Fields(const FieldList& fields, const FieldMask& kept);

  void Field(std::string_view name, std::string_view value);
  void Field(FieldId id, std::string_view value);
  void Field(FieldId id, uint64_t value);

  // At most one of these two.
  void ContentLength(uint64_t bytes) { Field(FieldId::kContentLength, bytes); }
  void Chunked() { Field(FieldId::kTransferEncoding, "chunked"); }

  void ConnectionClose() { Field(FieldId::kConnection, "close"); }
  // A line of its own after what Via lines there are (RFC 9110 section 7.6.3).
  void Via(Version received, std::string_view pseudonym);
  // RFC 9209: the gateway's name and one of the error words of its section 2.3.
  void ProxyStatus(std::string_view pseudonym, std::string_view error);

  // The empty line. False: something was refused, and `out` is what it was before.
  [[nodiscard]] bool End();

 private:
  static constexpr size_t kUsualBytes = 1000;  // of a head

  std::string& out_;
  size_t begin_;
  bool refused_ = false;
};

}  // namespace tao::http
