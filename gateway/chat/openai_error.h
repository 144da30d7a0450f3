#pragma once

// Errors as OpenAI's clients read them: {"error":{"message","type","param","code"}} (design,
// Errors).

#include <absl/status/status.h>

#include <string>

namespace tao::chat {

// The body for `status`. `code` is the token, `type` the container's own word or the table's,
// `param` the details' or the first violated field's; candidates are listed as an extra member of
// `error` (the SDKs hand it out as err.error / e.body), with `candidate_count` when there are more;
// so are the findings of the request contract, {param, found, right} each, with their `total`.
// Without a token (our bug): type server_error, code null.
std::string ErrorBody(const absl::Status& status);

// The same as one event of a stream; only at an event boundary (sse_boundary.h), never followed by
// [DONE].
std::string ErrorEvent(const absl::Status& status);

}  // namespace tao::chat
