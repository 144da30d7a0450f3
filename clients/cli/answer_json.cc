#include "clients/cli/answer_json.h"

#include <absl/strings/str_format.h>

#include <nlohmann/json.hpp>

#include "server/base/strings.h"

namespace tao::cli {
namespace {

using Json = nlohmann::ordered_json;

// `parent[name]`; null when there is no such member.
const Json* Member(const Json& parent, const char* name) {
  if (!parent.is_object()) return nullptr;
  const auto found = parent.find(name);
  return found == parent.end() ? nullptr : &*found;
}

// choices[0].<part>; null when there is none.
const Json* ChoicePart(const Json& answer, const char* part) {
  const Json* const choices = Member(answer, "choices");
  if (choices == nullptr || !choices->is_array() || choices->empty()) return nullptr;
  return Member(choices->front(), part);
}

absl::Status NotAnAnswer(std::string_view text) {
  return absl::InternalError(absl::StrFormat("the service's answer is not a chat completion: %s",
                                             base::Quoted(text, 200)));
}

}  // namespace

absl::StatusOr<std::string> AnswerContent(std::string_view body) {
  const Json answer = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  const Json* const message = ChoicePart(answer, "message");
  const Json* const content = message == nullptr ? nullptr : Member(*message, "content");
  if (content == nullptr || !content->is_string()) return NotAnAnswer(body);
  return content->get<std::string>();
}

absl::StatusOr<std::string> EventContent(std::string_view data) {
  const Json event = Json::parse(data, nullptr, /*allow_exceptions=*/false);
  if (const Json* const error = Member(event, "error"); error != nullptr) {
    const Json* const message = Member(*error, "message");
    return absl::AbortedError(
        absl::StrFormat("the answer broke off: %s", message != nullptr && message->is_string()
                                                        ? message->get<std::string>()
                                                        : base::Quoted(data, 200)));
  }
  // An event may carry no choice at all (usage).
  if (Member(event, "choices") == nullptr) return NotAnAnswer(data);
  const Json* const delta = ChoicePart(event, "delta");
  const Json* const content = delta == nullptr ? nullptr : Member(*delta, "content");
  if (content == nullptr || !content->is_string()) return "";
  return content->get<std::string>();
}

}  // namespace tao::cli
