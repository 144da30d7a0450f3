#include "gateway/chat/json_to_sse.h"

#include <absl/strings/str_format.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "gateway/chat/body_scanner.h"
#include "gateway/chat/json_writer.h"
#include "gateway/chat/openai_error.h"
#include "gateway/chat/value_copy.h"
#include "server/base/errors.h"
#include "server/base/strings.h"

namespace tao::chat {
namespace {

// id and model stand in every chunk: longer ones would multiply the answer's size.
constexpr size_t kMaxRepeatedBytes = 1024;

absl::Status BadAnswer(std::string_view problem) {
  return base::TokenError(
      base::ErrorToken::kUpstreamReset,
      absl::StrFormat("the service's answer %s, so it cannot be streamed", problem));
}

bool IsString(std::string_view json) { return !json.empty() && json.front() == '"'; }
bool IsObject(std::string_view json) { return !json.empty() && json.front() == '{'; }

// Whether `json` is a number that the clients' integer fields take.
bool IsCount(std::string_view json) {
  return !json.empty() && json.size() <= 18 &&
         json.find_first_not_of("0123456789") == std::string_view::npos;
}

std::string Quote(std::string_view text) {
  std::string out;
  AppendJsonString(out, text);
  return out;
}

}  // namespace

// The sink that sees the answer. It stands in one of four places; what it does not stream on the
// spot goes through copy_, which takes over until that value ends.
class JsonToSse::Translator : public base::BodySink {
 public:
  explicit Translator(JsonToSseOptions options)
      : id_(Quote(options.id)),
        model_(Quote(options.model)),
        created_(std::to_string(options.created)),
        include_usage_(options.include_usage),
        scanner_(*this, {.string_form = StringForm::kRaw, .subject = "the service's answer"}) {}

  absl::Status Feed(std::string_view json, std::string& out) {
    out_ = &out;
    return AsUpstreamError(scanner_.Feed(json));
  }
  absl::Status Finish(std::string& out);
  bool answered_error() const { return answered_error_; }

  absl::Status OnObjectBegin() override;
  absl::Status OnObjectEnd() override;
  absl::Status OnArrayBegin() override;
  absl::Status OnArrayEnd() override;
  absl::Status OnKey(std::string_view key) override;
  absl::Status OnStringPiece(std::string_view piece, bool last) override;
  absl::Status OnNumber(std::string_view text) override;
  absl::Status OnBool(bool value) override;
  absl::Status OnNull() override;

 private:
  enum class Place { kOutside, kTop, kChoices, kChoice, kMessage };

  // What is known of the choice being read; raw JSON.
  struct Choice {
    std::string index;
    std::string finish_reason = "\"stop\"";
    std::string logprobs;
    bool begun = false;  // its role chunk has been sent
    bool has_message = false;
    bool has_content = false;
  };

  // The scanner's own errors speak of a bad request; this body is the service's.
  static absl::Status AsUpstreamError(const absl::Status& status) {
    if (status.ok() || base::TokenOf(status) == base::ErrorToken::kUpstreamReset) return status;
    return base::TokenError(base::ErrorToken::kUpstreamReset, base::ToStd(status.message()));
  }

  void BeginCopy();
  absl::Status EndCopy();
  template <typename Event>
  absl::Status Copy(Event event) {
    if (copy_.done()) BeginCopy();
    if (absl::Status bad = event(copy_); !bad.ok()) return bad;
    return copy_.done() ? EndCopy() : absl::OkStatus();
  }

  absl::Status BeginChoices();
  absl::Status BeginMessage();
  absl::Status EndChoice();
  void BeginDeltas(std::string_view first_delta);
  absl::Status BeginText();
  void AppendText(std::string_view piece);
  void EmitText();
  void EmitChunk(std::string_view delta, std::string_view logprobs, std::string_view finish_reason);
  void EmitError(std::string_view message);

  // Raw JSON, for every chunk.
  std::string id_;
  std::string model_;
  std::string created_;
  const bool include_usage_;

  BodyScanner scanner_;
  std::string* out_ = nullptr;  // of the present call
  Place place_ = Place::kOutside;
  std::string member_;  // the name whose value is next, in an object that concerns us
  ValueCopy copy_;
  bool in_text_ = false;    // inside a string of the message, which is streamed
  std::string text_;        // of it, for the next chunk: at most kSseChunkBytes
  bool text_said_ = false;  // a chunk has the member already: an empty text is said once too
  std::string prefix_;      // of every chunk, up to its choices; empty before them
  bool choices_seen_ = false;
  int choice_count_ = 0;
  Choice choice_;
  std::string usage_;
  std::string flat_message_;  // top-level `message`, as old vLLM puts errors
  bool answered_error_ = false;
};

absl::Status JsonToSse::Translator::OnObjectBegin() {
  if (copy_.done()) {
    if (place_ == Place::kOutside) {
      place_ = Place::kTop;
      return absl::OkStatus();
    }
    if (place_ == Place::kChoices) {
      place_ = Place::kChoice;
      choice_ = Choice();
      choice_.index = std::to_string(choice_count_);
      return absl::OkStatus();
    }
    if (place_ == Place::kChoice && member_ == "message") return BeginMessage();
  }
  return Copy([](ValueCopy& copy) { return copy.OnObjectBegin(); });
}

absl::Status JsonToSse::Translator::OnObjectEnd() {
  if (!copy_.done()) return Copy([](ValueCopy& copy) { return copy.OnObjectEnd(); });
  switch (place_) {
    case Place::kMessage:
      place_ = Place::kChoice;
      return absl::OkStatus();
    case Place::kChoice:
      place_ = Place::kChoices;
      return EndChoice();
    default:
      place_ = Place::kOutside;
      return absl::OkStatus();
  }
}

absl::Status JsonToSse::Translator::OnArrayBegin() {
  if (copy_.done() && place_ == Place::kTop && member_ == "choices" && !answered_error_) {
    return BeginChoices();
  }
  return Copy([](ValueCopy& copy) { return copy.OnArrayBegin(); });
}

absl::Status JsonToSse::Translator::OnArrayEnd() {
  if (!copy_.done()) return Copy([](ValueCopy& copy) { return copy.OnArrayEnd(); });
  place_ = Place::kTop;
  return absl::OkStatus();
}

absl::Status JsonToSse::Translator::OnKey(std::string_view key) {
  if (!copy_.done()) return copy_.OnKey(key);
  member_ = key;
  return absl::OkStatus();
}

absl::Status JsonToSse::Translator::OnStringPiece(std::string_view piece, bool last) {
  if (copy_.done() && place_ == Place::kMessage && member_ != "role") {
    if (!in_text_) {
      if (absl::Status bad = BeginText(); !bad.ok()) return bad;
    }
    AppendText(piece);
    in_text_ = !last;
    if (last && (!text_.empty() || !text_said_)) EmitText();
    return absl::OkStatus();
  }
  return Copy([&](ValueCopy& copy) { return copy.OnStringPiece(piece, last); });
}

absl::Status JsonToSse::Translator::OnNumber(std::string_view text) {
  return Copy([&](ValueCopy& copy) { return copy.OnNumber(text); });
}

absl::Status JsonToSse::Translator::OnBool(bool value) {
  return Copy([&](ValueCopy& copy) { return copy.OnBool(value); });
}

absl::Status JsonToSse::Translator::OnNull() {
  return Copy([](ValueCopy& copy) { return copy.OnNull(); });
}

// Whether the value that comes is needed at all, and in what form.
void JsonToSse::Translator::BeginCopy() {
  const auto is = [this](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), member_) != names.end();
  };
  bool needed = false;
  switch (place_) {
    case Place::kTop:
      needed = !answered_error_ && (is({"error", "message"}) || (is({"usage"}) && include_usage_) ||
                                    (is({"id", "created", "model"}) && prefix_.empty()));
      break;
    case Place::kChoice:
      needed = is({"index", "finish_reason", "logprobs"});
      break;
    case Place::kMessage:
      needed = member_ != "role";
      break;
    default:
      break;
  }
  const bool tool_calls = place_ == Place::kMessage && member_ == "tool_calls";
  copy_.Begin(!needed      ? ValueCopy::Mode::kSkip
              : tool_calls ? ValueCopy::Mode::kToolCalls
                           : ValueCopy::Mode::kCopy,
              member_, kMaxSseValueBytes);
}

absl::Status JsonToSse::Translator::EndCopy() {
  const std::string value = copy_.Take();
  if (place_ == Place::kChoices) return BadAnswer("has a choice that is not an object");
  if (value.empty() || value == "null") return absl::OkStatus();
  if (place_ == Place::kMessage) {
    BeginDeltas("{\"role\":\"assistant\"}");
    EmitChunk("{" + Quote(member_) + ":" + value + "}", "", "null");
  } else if (place_ == Place::kChoice) {
    if (member_ == "index" && IsCount(value)) choice_.index = value;
    if (member_ == "finish_reason" && IsString(value)) choice_.finish_reason = value;
    if (member_ == "logprobs") choice_.logprobs = value;
  } else if (member_ == "error" && value != "false" && value != "\"\"") {
    if (IsObject(value)) {
      out_->append("data: {\"error\":").append(value).append("}\n\n");
      answered_error_ = true;
    } else {
      EmitError(IsString(value) ? value : Quote(value));
    }
  } else if (member_ == "message" && IsString(value)) {
    flat_message_ = value;
  } else if (member_ == "usage" && IsObject(value)) {
    usage_ = value;
  } else if (member_ == "id" && IsString(value) && value.size() <= kMaxRepeatedBytes) {
    id_ = value;
  } else if (member_ == "model" && IsString(value) && value.size() <= kMaxRepeatedBytes) {
    model_ = value;
  } else if (member_ == "created" && IsCount(value)) {
    created_ = value;
  }
  return absl::OkStatus();
}

absl::Status JsonToSse::Translator::BeginChoices() {
  if (choices_seen_) return BadAnswer("gives \"choices\" twice");
  choices_seen_ = true;
  place_ = Place::kChoices;
  prefix_ = "data: {\"id\":" + id_ +
            ",\"object\":\"chat.completion.chunk\",\"created\":" + created_ +
            ",\"model\":" + model_ + ",\"choices\":[";
  return absl::OkStatus();
}

absl::Status JsonToSse::Translator::BeginMessage() {
  if (choice_.has_message) return BadAnswer("gives the \"message\" of a choice twice");
  choice_.has_message = true;
  place_ = Place::kMessage;
  return absl::OkStatus();
}

absl::Status JsonToSse::Translator::EndChoice() {
  if (!choice_.has_message) {
    return BadAnswer(absl::StrFormat("has no message in choices[%d]", choice_count_));
  }
  BeginDeltas("{\"role\":\"assistant\"}");
  EmitChunk("{}", choice_.logprobs, choice_.finish_reason);
  ++choice_count_;
  return absl::OkStatus();
}

// The role chunk, once for each choice.
void JsonToSse::Translator::BeginDeltas(std::string_view first_delta) {
  if (std::exchange(choice_.begun, true)) return;
  EmitChunk(first_delta, "", "null");
}

absl::Status JsonToSse::Translator::BeginText() {
  const bool content = member_ == "content";
  if (content && std::exchange(choice_.has_content, true)) {
    return BadAnswer("gives the \"content\" of a message twice");
  }
  text_said_ = content && !choice_.begun;  // the role chunk says an empty one
  BeginDeltas(content ? "{\"role\":\"assistant\",\"content\":\"\"}" : "{\"role\":\"assistant\"}");
  text_.clear();
  return absl::OkStatus();
}

// Fills chunks to the brim, so that their borders do not depend on how the answer was split. An
// escape sequence comes as a piece of its own (StringForm::kRaw) and stays whole, a character too.
void JsonToSse::Translator::AppendText(std::string_view piece) {
  while (!piece.empty()) {
    const size_t room = kSseChunkBytes - text_.size();
    size_t take = std::min(piece.size(), room);
    if (take < piece.size()) {
      if (piece.front() == '\\') take = 0;
      while (take > 0 && (static_cast<unsigned char>(piece[take]) & 0xc0) == 0x80) --take;
    }
    text_ += piece.substr(0, take);
    piece.remove_prefix(take);
    if (!piece.empty()) EmitText();
  }
}

void JsonToSse::Translator::EmitText() {
  EmitChunk("{" + Quote(member_) + ":\"" + text_ + "\"}", "", "null");
  text_said_ = true;
  text_.clear();
}

void JsonToSse::Translator::EmitChunk(std::string_view delta, std::string_view logprobs,
                                      std::string_view finish_reason) {
  out_->append(prefix_).append("{\"index\":").append(choice_.index);
  out_->append(",\"delta\":").append(delta);
  if (!logprobs.empty()) out_->append(",\"logprobs\":").append(logprobs);
  out_->append(",\"finish_reason\":").append(finish_reason).append("}]}\n\n");
}

// `message` is a JSON string.
void JsonToSse::Translator::EmitError(std::string_view message) {
  out_->append("data: {\"error\":{\"message\":").append(message);
  out_->append(",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n");
  answered_error_ = true;
}

absl::Status JsonToSse::Translator::Finish(std::string& out) {
  out_ = &out;
  if (absl::Status bad = AsUpstreamError(scanner_.Finish()); !bad.ok()) return bad;
  if (answered_error_) return absl::OkStatus();
  if (choice_count_ == 0) {
    if (!flat_message_.empty()) {
      EmitError(flat_message_);
    } else {
      out += ErrorEvent(BadAnswer("has no choices"));
      answered_error_ = true;
    }
    return absl::OkStatus();
  }
  if (!usage_.empty()) out.append(prefix_).append("],\"usage\":").append(usage_).append("}\n\n");
  out += "data: [DONE]\n\n";
  return absl::OkStatus();
}

JsonToSse::JsonToSse(JsonToSseOptions options)
    : translator_(std::make_unique<Translator>(std::move(options))) {}
JsonToSse::~JsonToSse() = default;

absl::Status JsonToSse::Feed(std::string_view json, std::string& out) {
  return translator_->Feed(json, out);
}

absl::Status JsonToSse::Finish(std::string& out) { return translator_->Finish(out); }

bool JsonToSse::answered_error() const { return translator_->answered_error(); }

}  // namespace tao::chat
