#pragma once

// What a chat completion's body asks for, read in one pass as it arrives: a body of hundreds of MB
// is never held, but for its longest string.

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "docker/reference-backend/request_body.h"

namespace tao::reference_backend {

struct ChatRequest {
  // Texts are kept as excerpts, as long as the answer quotes.
  std::optional<std::string> prompt;         // the last text item of the first user message
  std::optional<std::string> system_prompt;  // of the first system message
  std::vector<std::string> media;  // of the first user message, described: "image/png 70 bytes"
  std::vector<std::pair<std::string, std::string>> sampling;  // as sent, in the container's order
  bool stream = false;
  bool include_usage = false;
};

// Why the container answers 400 invalid_request.
struct InvalidRequest {
  std::string message;
};

// Reads `body` to its end. The result means nothing unless body.state() is kComplete then.
std::variant<ChatRequest, InvalidRequest> ReadChatRequest(RequestBody& body,
                                                          const std::string* content_type);

}  // namespace tao::reference_backend
