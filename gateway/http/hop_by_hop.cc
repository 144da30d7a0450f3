#include "gateway/http/hop_by_hop.h"

#include "gateway/http/grammar.h"

#include <algorithm>
#include <array>
#include <bitset>

namespace tao::http {
namespace {

// Never passed on, whether or not Connection lists it: the fields of one hop (RFC 9110
// section 7.6.1), and those that the gateway decides anew for the next one.
bool EndsAtThisHop(FieldId id) {
  switch (id) {
    case FieldId::kConnection:
    case FieldId::kKeepAlive:
    case FieldId::kProxyConnection:
    case FieldId::kProxyAuthorization:
    case FieldId::kProxyAuthenticate:
    case FieldId::kProxyAuthenticationInfo:
    case FieldId::kTe:
    case FieldId::kTrailer:
    case FieldId::kUpgrade:
    case FieldId::kHttp2Settings:
    case FieldId::kHost:
    case FieldId::kContentLength:
    case FieldId::kTransferEncoding:
    case FieldId::kExpect:
      return true;
    default:
      return false;
  }
}

// What the Connection fields of one message list.
struct ConnectionOptions {
  static constexpr size_t kMaxNames = 64;

  std::bitset<kFieldIdCount> known;
  std::array<std::string_view, kMaxNames> others;
  size_t other_count = 0;
  bool close = false;
  bool keep_alive = false;

  MessageError Add(std::string_view value);
  bool List(const Field& field) const;
};

MessageError ConnectionOptions::Add(std::string_view value) {
  TokenListReader list(value);
  std::string_view option;
  while (list.Next(&option)) {
    const FieldId id = FieldIdOf(option);
    if (IsProtected(id)) {
      return {400, "Connection lists a field that must not be removed on the way"};
    }
    if (EqualsIgnoreCase(option, "close")) close = true;
    if (id == FieldId::kKeepAlive) keep_alive = true;  // the option is spelled as the field is
    if (id != FieldId::kOther) {
      known.set(static_cast<size_t>(id));
    } else if (other_count < kMaxNames) {
      others[other_count++] = option;
    } else {
      return {400, "Connection lists too many names"};
    }
  }
  if (list.invalid()) return {400, "Connection is not a list of names"};
  return {};
}

bool ConnectionOptions::List(const Field& field) const {
  if (field.id != FieldId::kOther) return known[static_cast<size_t>(field.id)];
  const auto* const end = others.begin() + other_count;
  return std::any_of(others.begin(), end, [&field](std::string_view other) {
    return EqualsIgnoreCase(other, field.name);
  });
}

MessageError SelectFields(const FieldList& fields, Forwarding* forwarding) {
  *forwarding = {};
  ConnectionOptions options;
  if (fields.Has(FieldId::kConnection)) {
    for (const Field& field : fields) {
      if (field.id != FieldId::kConnection) continue;
      if (MessageError error = options.Add(field.value)) return error;
    }
  }
  for (size_t i = 0; i < fields.size(); ++i) {
    if (!EndsAtThisHop(fields[i].id) && !options.List(fields[i])) forwarding->kept.Keep(i);
  }
  forwarding->close = options.close;
  forwarding->keep_alive = options.keep_alive;
  return {};
}

}  // namespace

MessageError SelectRequestFields(const RequestHead& head, Forwarding* forwarding) {
  return SelectFields(head.fields, forwarding);
}

MessageError SelectResponseFields(const ResponseHead& head, Forwarding* forwarding) {
  MessageError error = SelectFields(head.fields, forwarding);
  if (error) error.status = 502;
  return error;
}

bool KeepsConnection(Version version, const Forwarding& forwarding) {
  return version == Version::kHttp11 && !forwarding.close;
}

// A comma in a comment separates nothing.
bool ViaNames(const FieldList& fields, std::string_view pseudonym) {
  for (const Field& field : fields) {
    if (field.id != FieldId::kVia) continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      size_t end = 0;
      for (int depth = 0; end < rest.size() && (depth > 0 || rest[end] != ','); ++end) {
        if (rest[end] == '(') ++depth;
        if (rest[end] == ')' && depth > 0) --depth;
      }
      // received-protocol RWS received-by [ RWS comment ]
      std::string_view element = TrimOws(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
      element.remove_prefix(std::min(element.find_first_of(" \t"), element.size()));
      element = TrimOws(element);
      if (EqualsIgnoreCase(element.substr(0, element.find_first_of(" \t(")), pseudonym))
        return true;
    }
  }
  return false;
}

}  // namespace tao::http
