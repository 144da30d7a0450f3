#pragma once

// Answers a client that asked for a stream from a service that does not stream: turns a chat
// completion (200, application/json, as every Flask-based container sends) into the events that
// OpenAI's clients read, while it arrives. The text goes from the JSON string into the chunks as it
// stands, still escaped, so a video of 100 MB in `content` costs neither memory nor a decoding.
//
//   data: {"id":..,"object":"chat.completion.chunk","created":..,"model":..,
//          "choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}
//   data: {.. "delta":{"content":"<at most kSseChunkBytes>"} ..}     any number of them
//   data: {.. "delta":{},"finish_reason":"stop" ..}
//   data: {.. "choices":[],"usage":{..}}                   if the client asked, and the service
//   told data: [DONE]
//
// The output depends on the document alone, not on how it was split. Externally synchronised.
//
// Choices made where the two forms do not meet:
// - Every chunk carries the same id, created and model. Those that stand before `choices` are
// copied;
//   of those that come later (or are missing, or of the wrong type) the stand-ins of the options
//   are used for the whole stream, because the first chunk cannot wait for the end of a video.
// - Several choices are streamed one after the other, each under its `index` if that stands before
//   `message`, else under its place in the array.
// - Other members of `message`: strings (refusal, reasoning_content) are streamed like `content`;
//   null is left out; everything else (tool_calls, function_call, audio) is one delta, in which
//   each tool call gets the `index` that the stream form requires. `logprobs` comes with
//   finish_reason.
// - A choice without finish_reason ends with "stop": the answer is whole.
// - `choices`, `message` or `content` given twice is an error: half of it has been sent.

#include <absl/status/status.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace tao::chat {

inline constexpr size_t kSseChunkBytes = 16 * 1024;  // of escaped text in one content chunk
inline constexpr size_t kMaxSseValueBytes =
    4 * 1024 * 1024;  // of one value sent whole (tool_calls)

struct JsonToSseOptions {
  bool include_usage = false;  // the request's stream_options.include_usage
  // Stand-ins for what the answer does not give in time; plain text, escaped here.
  std::string id;       // for instance "chatcmpl-" + the request id
  std::string model;    // may be empty
  int64_t created = 0;  // Unix seconds
};

class JsonToSse {
 public:
  explicit JsonToSse(JsonToSseOptions options);
  ~JsonToSse();
  JsonToSse(const JsonToSse&) = delete;
  JsonToSse& operator=(const JsonToSse&) = delete;

  // Appends to `out` the events that these bytes of the answer complete, whole events only: the
  // stream is at an event boundary after every call, failed ones too. Adds little more than
  // `json.size()` bytes, but for answers of many tiny strings. An error (upstream_reset: not JSON,
  // or not a chat completion that could be streamed) is final: append ErrorEvent(status) of
  // openai_error.h and cut the connection.
  absl::Status Feed(std::string_view json, std::string& out);

  // The answer has ended as its framing says: appends what is left and `data: [DONE]`. The same
  // errors. An answer that says {"error":..} or has no choices is not an error here: it becomes an
  // error event, no [DONE] follows it, and answered_error() is true.
  absl::Status Finish(std::string& out);

  // Whether the service's answer was an error that the client has been told: count a failure, and
  // close the stream cleanly.
  bool answered_error() const;

 private:
  class Translator;
  std::unique_ptr<Translator> translator_;
};

}  // namespace tao::chat
