// JSON-to-SSE on arbitrary bytes: the stream does not depend on the split, and every event of it is
// one that the OpenAI clients can parse. The first byte of the input chooses the split.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "gateway/chat/json_to_sse.h"

namespace {

void Require(bool held, const char* what) {
  if (held) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

struct Converted {
  bool ok = false;
  bool answered_error = false;
  std::string stream;
};

Converted Convert(std::string_view answer, size_t first, size_t step) {
  tao::chat::JsonToSse sse({.include_usage = true, .id = "own", .model = "own", .created = 1});
  Converted converted;
  absl::Status status = sse.Feed(answer.substr(0, first), converted.stream);
  for (size_t at = first; at < answer.size() && status.ok(); at += step) {
    status = sse.Feed(answer.substr(at, step), converted.stream);
  }
  if (status.ok()) status = sse.Finish(converted.stream);
  converted.ok = status.ok();
  converted.answered_error = sse.answered_error();
  return converted;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view answer(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Converted whole = Convert(answer, answer.size(), 1);
  const size_t first = std::min<size_t>(data[0] >> 4, answer.size());
  const Converted split = Convert(answer, first, 1 + (data[0] & 15));
  Require(split.ok == whole.ok && split.stream == whole.stream, "the stream depends on the split");

  std::string_view rest = whole.stream;
  bool done = false, error = false;
  while (!rest.empty()) {
    const size_t end = rest.find("\n\n");
    Require(end != std::string_view::npos && rest.substr(0, 6) == "data: ", "not an event");
    Require(!done, "an event after [DONE]");
    const std::string_view event = rest.substr(6, end - 6);
    rest.remove_prefix(end + 2);
    done = event == "[DONE]";
    if (done) continue;
    Require(event.find_first_of("\r\n") == std::string_view::npos, "a line break inside an event");
    // A number that no double holds is the service's business, and no syntax error.
    nlohmann::json chunk = nlohmann::json::parse(event, nullptr, /*allow_exceptions=*/false);
    if (chunk.is_discarded()) {
      try {
        chunk = nlohmann::json::parse(event);
      } catch (const nlohmann::json::out_of_range&) {
        error = error || event.starts_with("{\"error\":");
        continue;
      } catch (const nlohmann::json::exception&) {
      }
    }
    Require(chunk.is_object(), "an event is not a JSON object");
    if (chunk.contains("error")) error = true;
    Require(error || chunk.at("object") == "chat.completion.chunk", "an event is not a chunk");
  }
  Require(done == (whole.ok && !whole.answered_error), "[DONE] does not tell the outcome");
  Require(error == whole.answered_error, "answered_error is not what was sent");
  return 0;
}
