#include "gateway/http/framing.h"

#include "gateway/http/grammar.h"

namespace tao::http {
namespace {

// What the framing fields of one message say, before the rules of its side.
struct FramingFields {
  size_t content_lengths = 0;
  std::string_view content_length;
  size_t transfer_encodings = 0;
  std::string_view transfer_encoding;
};

FramingFields CollectFramingFields(const FieldList& fields) {
  FramingFields found;
  for (const Field& field : fields) {
    if (field.id == FieldId::kContentLength) {
      ++found.content_lengths;
      found.content_length = field.value;
    } else if (field.id == FieldId::kTransferEncoding) {
      ++found.transfer_encodings;
      found.transfer_encoding = field.value;
    }
  }
  return found;
}

// Why a Transfer-Encoding other than `chunked` is refused. 501 says that every coding is well
// formed, chunked comes last if at all, and one is not known here; anything else is 400.
MessageError RefuseTransferEncoding(std::string_view value) {
  TokenListReader list(value);
  std::string_view coding;
  size_t codings = 0;
  bool ended_by_chunked = false;
  while (list.Next(&coding)) {
    if (ended_by_chunked) return {400, "Transfer-Encoding lists a coding after chunked"};
    ended_by_chunked = EqualsIgnoreCase(coding, "chunked");
    ++codings;
  }
  if (list.invalid() || list.saw_empty_element() || codings == 0) {
    return {400, "Transfer-Encoding is not a plain list of codings"};
  }
  return {501, "Transfer-Encoding names a coding other than chunked; send the body as it is"};
}

// The rules that requests and responses share. `framing` stays as it was when neither field is
// there.
MessageError DecideFraming(Version version, const FramingFields& found, BodyFraming* framing) {
  if (found.transfer_encodings > 0 && found.content_lengths > 0) {
    return {400, "both Content-Length and Transfer-Encoding"};
  }
  if (found.content_lengths > 1) return {400, "more than one Content-Length"};
  if (found.transfer_encodings > 1) return {400, "more than one Transfer-Encoding"};
  if (found.transfer_encodings == 1) {
    if (version == Version::kHttp10) return {400, "Transfer-Encoding in an HTTP/1.0 message"};
    if (!EqualsIgnoreCase(found.transfer_encoding, "chunked")) {
      return RefuseTransferEncoding(found.transfer_encoding);
    }
    *framing = {BodyFraming::Kind::kChunked, 0};
    return {};
  }
  if (found.content_lengths == 1) {
    const std::optional<uint64_t> length = ParseDecimal(found.content_length);
    if (!length.has_value()) {
      return {400, "Content-Length is not a plain decimal number below 2^63"};
    }
    *framing = {BodyFraming::Kind::kLength, *length};
  }
  return {};
}

bool HasNoBody(int status, Method request_method) {
  return request_method == Method::kHead || status < 200 || status == 204 || status == 304;
}

}  // namespace

MessageError DecideRequestFraming(const RequestHead& head, BodyFraming* framing) {
  *framing = {};
  for (const Field& field : head.fields) {
    if (field.id == FieldId::kOther && IsProtected(SpoofedFieldId(field.name))) {
      return {400, "a header name with an underscore that stands for one with a hyphen"};
    }
  }
  return DecideFraming(head.version, CollectFramingFields(head.fields), framing);
}

MessageError DecideResponseFraming(const ResponseHead& head, Method request_method,
                                   BodyFraming* framing, std::optional<uint64_t>* declared_length) {
  BodyFraming stated{BodyFraming::Kind::kUntilClose, 0};
  MessageError error = DecideFraming(head.version, CollectFramingFields(head.fields), &stated);
  if (error) {
    error.status = 502;
    return error;
  }
  *framing = HasNoBody(head.status, request_method) ? BodyFraming{} : stated;
  if (declared_length != nullptr) {
    declared_length->reset();
    if (stated.kind == BodyFraming::Kind::kLength) *declared_length = stated.length;
  }
  return {};
}

}  // namespace tao::http
