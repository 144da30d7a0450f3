#pragma once

// The JSON of `chat`: the body it sends, and what it reads from answers. Pure functions; the JSON
// library stays in the .cc.

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tao::cli {

// What the user set; everything else is left to the container.
struct ChatSampling {
  std::optional<int64_t> max_tokens;
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<int64_t> seed;
};

struct ChatQuestion {
  std::string model;  // the body's `model`
  std::string text;
  std::vector<std::string> images;  // URLs: http(s), data:, or paths in the container
  bool stream = false;
  ChatSampling sampling;
};

// A chat-completions request. InvalidArgument: the text or a URL is not valid UTF-8.
absl::StatusOr<std::string> ChatBody(const ChatQuestion& question);

// Those of `fields` (Service.sampling_fields) that `sampling` leaves to the container.
std::vector<std::string> LeftToContainer(const ChatSampling& sampling,
                                         const std::vector<std::string>& fields);

// The text of a whole answer: choices[0].message.content. Internal: it has none.
absl::StatusOr<std::string> AnswerContent(std::string_view body);

// The text of one event of a streamed answer, which may be empty (the role, the end). Aborted: the
// event is an error, with its message; Internal: it is no chat completion.
absl::StatusOr<std::string> EventContent(std::string_view data);

}  // namespace tao::cli
