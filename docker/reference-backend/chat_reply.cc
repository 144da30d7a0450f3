#include "docker/reference-backend/chat_reply.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "docker/reference-backend/excerpt.h"

namespace tao::reference_backend {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view kVideoHead = "data:video/mp4;base64,";
constexpr std::string_view kFiller =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint64_t kBlockBytes = 256 * 1024;

std::string Printed(const ordered_json& value, bool ensure_ascii) {
  return value.dump(-1, ' ', ensure_ascii, ordered_json::error_handler_t::replace);
}

// `text` as an ASCII JSON string without its quotes.
std::string Escaped(std::string_view text) {
  const std::string quoted = Printed(text, true);
  return quoted.substr(1, quoted.size() - 2);
}

std::string Quoted(const std::optional<std::string>& text) {
  return text ? "\"" + *text + "\"" : "none";
}

// What stands before and after the content in the JSON answer.
std::string JsonHead() {
  return R"({"choices":[{"finish_reason":"stop","index":0,"message":{"content":")";
}

std::string JsonTail(const ReplyIdentity& identity) {
  return R"(","role":"assistant"}}],"created":)" + std::to_string(identity.created) + R"(,"id":")" +
         Escaped(identity.id) + R"(","model":")" + Escaped(identity.model) +
         R"(","object":"chat.completion"})" + "\n";
}

std::string Event(const ReplyIdentity& identity, ordered_json choices, ordered_json usage) {
  ordered_json chunk = {{"id", identity.id},
                        {"object", "chat.completion.chunk"},
                        {"created", identity.created},
                        {"model", identity.model},
                        {"choices", std::move(choices)}};
  if (!usage.is_null()) chunk["usage"] = std::move(usage);
  return "data: " + Printed(chunk, false) + "\n\n";
}

std::string DeltaEvent(const ReplyIdentity& identity, ordered_json delta,
                       ordered_json finish_reason) {
  ordered_json choice = {{"index", 0},
                         {"delta", std::move(delta)},
                         {"logprobs", nullptr},
                         {"finish_reason", std::move(finish_reason)}};
  return Event(identity, ordered_json::array({std::move(choice)}), nullptr);
}

}  // namespace

ReplyContent ReplyContent::Describing(const ChatRequest& request, uint64_t body_bytes) {
  ReplyContent content;
  std::string& text = content.text_;
  text =
      "prompt " + Quoted(request.prompt) + "; system " + Quoted(request.system_prompt) + "; media";
  if (request.media.empty()) text += " none";
  for (size_t i = 0; i < request.media.size(); ++i) text += (i > 0 ? ", " : " ") + request.media[i];
  text += "; sampling";
  if (request.sampling.empty()) text += " none";
  for (const auto& [name, value] : request.sampling) text += " " + name + "=" + value;
  text += "; body " + std::to_string(body_bytes) + " bytes";
  return content;
}

ReplyContent ReplyContent::VideoLike(int64_t bytes) {
  ReplyContent content;
  const auto wanted = static_cast<uint64_t>(bytes);
  content.text_ = kVideoHead.substr(0, wanted);
  content.filler_bytes_ = wanted - content.text_.size();
  return content;
}

std::string ReplyContent::Part(uint64_t begin, uint64_t end) const {
  // Filler is ASCII: only a boundary within the text can be inside a character.
  const uint64_t first = begin < text_.size() ? Utf8Prefix(text_, begin).size() : begin;
  const uint64_t last = end < text_.size() ? Utf8Prefix(text_, end).size() : end;
  std::string part;
  if (first < text_.size()) part = text_.substr(first, last - first);
  for (uint64_t i = std::max<uint64_t>(first, text_.size()); i < last;) {
    const size_t from = (i - text_.size()) % kFiller.size();
    const std::string_view run = kFiller.substr(from, last - i);
    part += run;
    i += run.size();
  }
  return part;
}

uint64_t JsonReplyBytes(const ReplyContent& content, const ReplyIdentity& identity) {
  return JsonHead().size() + Escaped(content.text()).size() + content.filler_bytes() +
         JsonTail(identity).size();
}

bool WriteJsonReply(const ReplyContent& content, const ReplyIdentity& identity,
                    const ReplySink& sink, const std::function<bool()>& at_half) {
  const uint64_t half = (content.size() + 1) / 2;
  std::string block = JsonHead();
  uint64_t i = 0;
  while (i < content.size()) {
    const uint64_t next =
        std::min({i + kBlockBytes, content.size(), i < half ? half : content.size()});
    const std::string part = content.Part(i, next);
    block += i < content.text().size() ? Escaped(part) : part;  // filler needs no escape
    i = next;
    if (i < content.size() || i == half) {
      if (!sink(block)) return false;
      block.clear();
    }
    if (i == half && !at_half()) return false;
  }
  return sink(block + JsonTail(identity));
}

std::string RoleEvent(const ReplyIdentity& identity) {
  return DeltaEvent(identity, {{"role", "assistant"}, {"content", ""}}, nullptr);
}

std::string ContentEvent(const ReplyIdentity& identity, const std::string& part) {
  return DeltaEvent(identity, ordered_json::object({{"content", part}}), nullptr);
}

std::string FinishEvent(const ReplyIdentity& identity) {
  return DeltaEvent(identity, ordered_json::object(), "stop");
}

std::string UsageEvent(const ReplyIdentity& identity, int64_t completion_tokens) {
  return Event(identity, ordered_json::array(),
               {{"prompt_tokens", 1},
                {"completion_tokens", completion_tokens},
                {"total_tokens", completion_tokens + 1}});
}

}  // namespace tao::reference_backend
