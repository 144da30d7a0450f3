#include "gateway/http/field.h"

#include "gateway/http/grammar.h"

#include <algorithm>
#include <cstring>

namespace tao::http {
namespace {

struct KnownName {
  std::string_view name;
  FieldId id;
};

constexpr KnownName kKnownNames[] = {
    {"Host", FieldId::kHost},
    {"Content-Length", FieldId::kContentLength},
    {"Transfer-Encoding", FieldId::kTransferEncoding},
    {"Connection", FieldId::kConnection},
    {"Expect", FieldId::kExpect},
    {"Content-Type", FieldId::kContentType},
    {"Content-Encoding", FieldId::kContentEncoding},
    {"Content-Range", FieldId::kContentRange},
    {"Authorization", FieldId::kAuthorization},
    {"Cookie", FieldId::kCookie},
    {"X-TAO-Job-ID", FieldId::kXTaoJobId},
    {"X-TAO-Network-Arch", FieldId::kXTaoNetworkArch},
    {"X-TAO-Error", FieldId::kXTaoError},
    {"X-TAO-Notice", FieldId::kXTaoNotice},
    {"X-TAO-Strict", FieldId::kXTaoStrict},
    {"Keep-Alive", FieldId::kKeepAlive},
    {"Proxy-Connection", FieldId::kProxyConnection},
    {"Proxy-Authorization", FieldId::kProxyAuthorization},
    {"Proxy-Authenticate", FieldId::kProxyAuthenticate},
    {"Proxy-Authentication-Info", FieldId::kProxyAuthenticationInfo},
    {"TE", FieldId::kTe},
    {"Trailer", FieldId::kTrailer},
    {"Upgrade", FieldId::kUpgrade},
    {"HTTP2-Settings", FieldId::kHttp2Settings},
    {"Via", FieldId::kVia},
    {"Proxy-Status", FieldId::kProxyStatus},
    {"X-Request-ID", FieldId::kXRequestId},
    {"X-Should-Retry", FieldId::kXShouldRetry},
    {"Date", FieldId::kDate},
    {"Server", FieldId::kServer},
    {"Prefer", FieldId::kPrefer},
    {"Preference-Applied", FieldId::kPreferenceApplied},
    {"Retry-After", FieldId::kRetryAfter},
    {"Max-Forwards", FieldId::kMaxForwards},
    {"Accept", FieldId::kAccept},
    {"Accept-Encoding", FieldId::kAcceptEncoding},
    {"User-Agent", FieldId::kUserAgent},
    {"X-Stainless-Timeout", FieldId::kXStainlessTimeout},
    {"X-Stainless-Read-Timeout", FieldId::kXStainlessReadTimeout},
    {"Traceparent", FieldId::kTraceparent},
    {"Tracestate", FieldId::kTracestate},
    {"Allow", FieldId::kAllow},
    {"Location", FieldId::kLocation},
    {"Set-Cookie", FieldId::kSetCookie},
    {"WWW-Authenticate", FieldId::kWwwAuthenticate},
};
constexpr size_t kKnownCount = std::size(kKnownNames);
static_assert(kKnownCount == kFieldIdCount - 2);  // all but kOther and kXTaoOther have a name

constexpr std::string_view kReservedPrefix = "X-TAO-";

// The known names by length: a name is compared with the few that are as long as it is.
constexpr size_t kMaxNameBytes = 25;
struct LengthIndex {
  std::array<KnownName, kKnownCount> names{};
  std::array<uint8_t, kMaxNameBytes + 2> first{};  // [n, n + 1): the names of n bytes
};

constexpr LengthIndex MakeLengthIndex() {
  LengthIndex index;
  size_t next = 0;
  for (size_t length = 0; length <= kMaxNameBytes; ++length) {
    index.first[length] = static_cast<uint8_t>(next);
    for (const KnownName& known : kKnownNames) {
      if (known.name.size() == length) index.names[next++] = known;
    }
  }
  index.first[kMaxNameBytes + 1] = static_cast<uint8_t>(next);
  return index;
}

constexpr LengthIndex kByLength = MakeLengthIndex();

constexpr std::array<std::string_view, kFieldIdCount> MakeNames() {
  std::array<std::string_view, kFieldIdCount> names;
  for (const KnownName& known : kKnownNames) names[static_cast<size_t>(known.id)] = known.name;
  return names;
}

constexpr std::array<std::string_view, kFieldIdCount> kNames = MakeNames();
static_assert(kByLength.first[kMaxNameBytes + 1] == kKnownCount);  // kMaxNameBytes is large enough

}  // namespace

namespace {

template <typename Word>
bool SameWord(const char* a, const char* b) {
  constexpr Word kLower = static_cast<Word>(0x2020202020202020);
  Word left, right;
  std::memcpy(&left, a, sizeof(Word));
  std::memcpy(&right, b, sizeof(Word));
  return (left | kLower) == (right | kLower);
}

// EqualsIgnoreCase of a token and a name that is letters, digits and hyphens, of the same size.
// Setting the bit of the lower case is exact for them: what else becomes a letter, a digit or a
// hyphen by it is a control character, and in no token.
bool IsName(std::string_view token, std::string_view name) {
  const char* const a = token.data();
  const char* const b = name.data();
  const size_t size = name.size();
  if (size < 4) return EqualsIgnoreCase(token, name);
  if (size < 8) {
    return SameWord<uint32_t>(a, b) && SameWord<uint32_t>(a + size - 4, b + size - 4);
  }
  for (size_t i = 0; i + 8 <= size; i += 8) {
    if (!SameWord<uint64_t>(a + i, b + i)) return false;
  }
  return SameWord<uint64_t>(a + size - 8, b + size - 8);
}

}  // namespace

FieldId FieldIdOf(std::string_view name) {
  if (name.size() <= kMaxNameBytes) {
    for (size_t i = kByLength.first[name.size()]; i < kByLength.first[name.size() + 1]; ++i) {
      const KnownName& known = kByLength.names[i];
      if (IsName(name, known.name)) return known.id;
    }
  }
  if (name.empty() || LowerChar(name.front()) != 'x') return FieldId::kOther;
  return EqualsIgnoreCase(name.substr(0, kReservedPrefix.size()), kReservedPrefix)
             ? FieldId::kXTaoOther
             : FieldId::kOther;
}

FieldId SpoofedFieldId(std::string_view name) {
  if (name.find('_') == std::string_view::npos) return FieldId::kOther;
  // A longer name can only match by its prefix.
  std::array<char, kMaxNameBytes + 1> hyphened;
  const size_t size = std::min(name.size(), hyphened.size());
  std::replace_copy(name.begin(), name.begin() + size, hyphened.begin(), '_', '-');
  return FieldIdOf({hyphened.data(), size});
}

std::string_view NameOf(FieldId id) { return kNames[static_cast<size_t>(id)]; }

const Field* FieldList::Find(FieldId id) const {
  if (!Has(id)) return nullptr;
  return std::find_if(begin(), end(), [id](const Field& field) { return field.id == id; });
}

size_t FieldList::Count(FieldId id) const {
  if (!Has(id)) return 0;
  return std::count_if(begin(), end(), [id](const Field& field) { return field.id == id; });
}

std::string_view FieldList::ValueOf(FieldId id) const {
  const Field* const field = Find(id);
  return field == nullptr ? std::string_view() : field->value;
}

const Field* FieldList::FindByName(std::string_view name) const {
  const Field* const field = std::find_if(
      begin(), end(), [name](const Field& each) { return EqualsIgnoreCase(each.name, name); });
  return field == end() ? nullptr : field;
}

bool FieldList::Add(const Field& field) {
  if (size_ == kCapacity) return false;
  if (size_ == kFew && many_ == nullptr) {
    many_ = std::make_unique<Field[]>(kCapacity);
    std::copy(few_.begin(), few_.end(), many_.get());
  }
  (many_ == nullptr ? few_.data() : many_.get())[size_++] = field;
  present_.set(static_cast<size_t>(field.id));
  return true;
}

void FieldList::Clear() {
  size_ = 0;
  many_.reset();
  present_.reset();
}

void FieldMask::DropAll(const FieldList& fields, FieldId id) {
  if (!fields.Has(id)) return;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (fields[i].id == id) Drop(i);
  }
}

}  // namespace tao::http
