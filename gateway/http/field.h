#pragma once

// Header fields. A field's name is recognised once, when its line is parsed; every later pass asks
// for a FieldId. Externally synchronised, like all of this folder's classes.

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace tao::http {

// The names that some part of the gateway treats specially. Everything else is kOther and passes
// through untouched.
enum class FieldId : uint8_t {
  kOther,
  // Framing, routing, content and credentials: the protected fields (IsProtected).
  kHost,
  kContentLength,
  kTransferEncoding,
  kConnection,
  kExpect,
  kContentType,
  kContentEncoding,
  kContentRange,
  kAuthorization,
  kCookie,
  kXTaoJobId,
  kXTaoNetworkArch,
  kXTaoError,
  kXTaoNotice,
  kXTaoStrict,
  kXTaoOther,  // any other name that begins with X-TAO-: reserved for us
  // Of one hop only.
  kKeepAlive,
  kProxyConnection,
  kProxyAuthorization,
  kProxyAuthenticate,
  kProxyAuthenticationInfo,
  kTe,
  kTrailer,
  kUpgrade,
  kHttp2Settings,
  // Read or written by the gateway.
  kVia,
  kProxyStatus,
  kXRequestId,
  kXShouldRetry,
  kDate,
  kServer,
  kPrefer,
  kPreferenceApplied,
  kRetryAfter,
  kMaxForwards,
  kAccept,
  kAcceptEncoding,
  kUserAgent,
  kXStainlessTimeout,      // of OpenAI's Node library, in seconds
  kXStainlessReadTimeout,  // of OpenAI's Python library, in seconds
  kTraceparent,
  kTracestate,
  kAllow,
  kLocation,
  kSetCookie,
  kWwwAuthenticate,
};
inline constexpr size_t kFieldIdCount = static_cast<size_t>(FieldId::kWwwAuthenticate) + 1;

// `name` is a token (IsToken). Case-insensitive. An underscore is not a hyphen here; see
// SpoofedFieldId.
FieldId FieldIdOf(std::string_view name);

// Whether no sender may have this field removed on its way by listing it in Connection.
inline bool IsProtected(FieldId id) { return id >= FieldId::kHost && id <= FieldId::kXTaoOther; }

// CGI, and so every WSGI container, reads Content_Length as Content-Length. The field that `name`
// would be taken for if its underscores were hyphens; kOther when it has none, or means nothing.
FieldId SpoofedFieldId(std::string_view name);

// The usual spelling; empty for kOther and kXTaoOther.
std::string_view NameOf(FieldId id);

// Views into the buffer the head was parsed from.
struct Field {
  FieldId id = FieldId::kOther;
  std::string_view name;   // a token, in the sender's spelling
  std::string_view value;  // without the white space around it; no CR, LF, NUL or other control
};

// The field lines of one head, in order, in place. A connection holds one for as long as its
// message lasts, so there is room for the usual number of lines only; a head of more allocates
// once.
class FieldList {
 public:
  static constexpr size_t kCapacity = 128;

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const Field& operator[](size_t index) const { return begin()[index]; }
  const Field* begin() const { return many_ == nullptr ? few_.data() : many_.get(); }
  const Field* end() const { return begin() + size_; }

  bool Has(FieldId id) const { return present_[static_cast<size_t>(id)]; }
  // The first line with `id`, or null. For a field that must be single, ask Count too.
  const Field* Find(FieldId id) const;
  size_t Count(FieldId id) const;
  // The first line's value; empty when there is none.
  std::string_view ValueOf(FieldId id) const;
  // For a name without a FieldId.
  const Field* FindByName(std::string_view name) const;

  // False, and nothing is added, when the list is full.
  bool Add(const Field& field);
  void Clear();

 private:
  static constexpr size_t kFew = 20;

  std::array<Field, kFew> few_;
  std::unique_ptr<Field[]> many_;  // all of them, once they are more
  size_t size_ = 0;
  std::bitset<kFieldIdCount> present_;
};

// Which lines of one FieldList are passed on (hop_by_hop.h decides, head_writer.h writes).
class FieldMask {
 public:
  bool Keeps(size_t index) const { return kept_[index]; }
  void Keep(size_t index) { kept_.set(index); }
  void Drop(size_t index) { kept_.reset(index); }
  // Every line with `id`: for what the caller writes itself, X-Request-Id or a credential.
  void DropAll(const FieldList& fields, FieldId id);

 private:
  std::bitset<FieldList::kCapacity> kept_;
};

}  // namespace tao::http
