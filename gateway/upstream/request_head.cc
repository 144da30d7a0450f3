#include "gateway/upstream/request_head.h"

#include "gateway/http/head_writer.h"

namespace tao::upstream {

using http::FieldId;

bool AppendRequestHead(std::string& out, const ForwardedRequest& request,
                       const routing::Backend& backend, std::optional<uint64_t> length) {
  http::HeadWriter head(out);
  head.RequestLine(http::Method::kPost, backend.base_path, request.path, request.query);
  head.Field(FieldId::kHost, backend.authority);
  if (request.fields != nullptr) {
    http::FieldMask kept = request.kept;
    kept.DropAll(*request.fields, FieldId::kXRequestId);
    if (!backend.credential.empty()) kept.DropAll(*request.fields, FieldId::kAuthorization);
    head.Fields(*request.fields, kept);
    head.Via(request.received, kPseudonym);
  } else {
    head.Field(FieldId::kContentType, "application/json");
    head.Field(FieldId::kAccept, "application/json");
  }
  if (!backend.credential.empty()) {
    head.Field(FieldId::kAuthorization, backend.credential.Reveal());
  }
  head.Field(FieldId::kXRequestId, request.request_id);
  if (length.has_value()) {
    head.ContentLength(*length);
  } else {
    head.Chunked();
  }
  return head.End();
}

}  // namespace tao::upstream
