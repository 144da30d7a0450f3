#pragma once

// The 200 answer to a chat completion, as JSON or as server-sent events with the same content text.
// Pure, but for the sink it writes to.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "docker/reference-backend/chat_request.h"

namespace tao::reference_backend {

// The assistant's content: what was received, for people; or a video-like text, which is made block
// by block and never held.
class ReplyContent {
 public:
  // prompt "Hi"; system none; media none; sampling seed=1; body 74 bytes
  static ReplyContent Describing(const ChatRequest& request, uint64_t body_bytes);
  // data:video/mp4;base64,ABCD... of exactly `bytes` bytes. It decodes when `bytes` is 22 + 4n.
  static ReplyContent VideoLike(int64_t bytes);

  // The content is text() and then so many bytes of filler, which is ASCII without an escape.
  const std::string& text() const { return text_; }
  uint64_t filler_bytes() const { return filler_bytes_; }
  uint64_t size() const { return text_.size() + filler_bytes_; }
  // The bytes from `begin` to `end`; each is moved down to a character's boundary, so that the
  // parts of a partition put together are the whole.
  std::string Part(uint64_t begin, uint64_t end) const;

 private:
  std::string text_;
  uint64_t filler_bytes_ = 0;
};

// What every form of the answer names.
struct ReplyIdentity {
  std::string id;       // chatcmpl-...
  std::string model;    // what is loaded, whatever the request said
  int64_t created = 0;  // seconds since the epoch
};

// False: stop, the client is gone or the answer is to be cut.
using ReplySink = std::function<bool(std::string_view)>;

// The JSON answer as Flask's jsonify prints it: keys sorted (so finish_reason comes before the
// content), ASCII only, a newline at the end.
uint64_t JsonReplyBytes(const ReplyContent& content, const ReplyIdentity& identity);
// `at_half` is called when half of the content is written, and ends the answer by false.
bool WriteJsonReply(const ReplyContent& content, const ReplyIdentity& identity,
                    const ReplySink& sink, const std::function<bool()>& at_half);

// One event, `data: {...}` and its empty line, as vLLM prints it: UTF-8, compact, no id or event
// line.
std::string RoleEvent(const ReplyIdentity& identity);
std::string ContentEvent(const ReplyIdentity& identity, const std::string& part);
std::string FinishEvent(const ReplyIdentity& identity);
std::string UsageEvent(const ReplyIdentity& identity, int64_t completion_tokens);
inline constexpr std::string_view kDoneEvent = "data: [DONE]\n\n";

}  // namespace tao::reference_backend
