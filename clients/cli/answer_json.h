#pragma once

// What `chat` reads from answers. Pure functions; the JSON library stays in the .cc.

#include <absl/status/statusor.h>

#include <string>
#include <string_view>

namespace tao::cli {

// The text of a whole answer: choices[0].message.content. Internal: it has none.
absl::StatusOr<std::string> AnswerContent(std::string_view body);

// The text of one event of a streamed answer, which may be empty (the role, the end). Aborted: the
// event is an error, with its message; Internal: it is no chat completion.
absl::StatusOr<std::string> EventContent(std::string_view data);

}  // namespace tao::cli
