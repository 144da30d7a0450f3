#include "docker/reference-backend/chat_request.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

#include "docker/reference-backend/excerpt.h"
#include "docker/reference-backend/json_bytes.h"
#include "docker/reference-backend/media.h"

namespace tao::reference_backend {
namespace {

using nlohmann::json;

constexpr size_t kMaxDepth = 100;  // far above any chat body, far below Python's recursion limit

// What is kept of a text and of a sampling value: the answer quotes no more.
constexpr size_t kShownTextBytes = 200;
constexpr size_t kShownValueBytes = 40;

// The keys the container passes on, in the order of the reference.
constexpr std::string_view kSamplingKeys[] = {
    "max_tokens",        "temperature",      "top_p",     "top_k", "min_p", "repetition_penalty",
    "frequency_penalty", "presence_penalty", "seed",      "stop",  "n",     "best_of",
    "length_penalty",    "ignore_eos",       "min_tokens"};
constexpr std::string_view kOtherKeys[] = {
    "messages",  "role",      "content", "type",          "text",          "url",
    "image_url", "video_url", "stream",  "include_usage", "stream_options"};

template <typename List>
bool IsIn(const List& list, std::string_view word) {
  return std::find(std::begin(list), std::end(list), word) != std::end(list);
}

// One message while it is read: its role may come after its content.
struct Message {
  std::string role;
  std::optional<std::string> text;
  std::vector<std::string> media;
  std::optional<std::string> error;
};

// One item of a content list. Its type may come last, too.
struct Item {
  std::string type;
  std::optional<std::string> text;
  std::string media_kind;  // of the url seen: image or video
  std::variant<std::monostate, MediaDescription, MediaError> media;
};

// The parser's events, put together to a ChatRequest. A value's place is its path: the known keys
// on the way to it, "[]" for a list's element, "?" for any other key.
class Reader : public nlohmann::json_sax<json> {
 public:
  explicit Reader(const JsonBytes& bytes) : bytes_(bytes) {}

  std::variant<ChatRequest, InvalidRequest> Result() {
    if (error_) return InvalidRequest{*error_};
    if (!saw_member_) return InvalidRequest{"Request body is empty"};
    if (!saw_messages_) return InvalidRequest{"messages is required, a list"};
    if (!first_user_) return InvalidRequest{"messages has no user message"};
    if (first_user_->error) return InvalidRequest{*first_user_->error};
    request_.prompt = first_user_->text;
    request_.media = first_user_->media;
    if (first_system_) request_.system_prompt = first_system_->text;
    for (const std::string_view key : kSamplingKeys) {
      const auto found = sampling_.find(std::string(key));
      if (found != sampling_.end()) request_.sampling.emplace_back(*found);
    }
    return request_;
  }

  bool null() override { return Scalar("null"); }
  bool boolean(bool value) override {
    const std::string place = Place();
    if (place == "stream") request_.stream = value;
    if (place == "stream_options/include_usage") request_.include_usage = value;
    return Scalar(value ? "true" : "false");
  }
  bool number_integer(number_integer_t value) override { return Scalar(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Scalar(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { return Scalar(text); }
  bool binary(binary_t&) override { return false; }

  bool string(string_t& value) override {
    const std::string place = Place();
    if (place == "messages/[]/role") message_.role = value;
    if (place == "messages/[]/content") message_.text = Excerpt(value, kShownTextBytes);
    if (place == "messages/[]/content/[]/type") item_.type = Excerpt(value, kShownValueBytes);
    if (place == "messages/[]/content/[]/text") item_.text = Excerpt(value, kShownTextBytes);
    if (place == "messages/[]/content/[]/image_url/url") TakeMedia("image", value);
    if (place == "messages/[]/content/[]/video_url/url") TakeMedia("video", value);
    return Scalar("\"" + Excerpt(value, kShownValueBytes) + "\"");
  }

  bool start_object(std::size_t) override {
    if (!BeginValue()) return false;
    const std::string place = Place();
    if (place == "messages/[]") message_ = {};
    if (place == "messages/[]/content/[]") item_ = {};
    return Descend("?");
  }
  bool key(string_t& value) override {
    saw_member_ = true;
    const bool known = IsIn(kSamplingKeys, value) || IsIn(kOtherKeys, value);
    path_.back() = known ? value : "?";
    return true;
  }
  bool end_object() override {
    path_.pop_back();
    const std::string place = Place();
    if (place == "messages/[]") TakeMessage();
    if (place == "messages/[]/content/[]") TakeItem();
    return true;
  }
  bool start_array(std::size_t) override {
    if (!BeginValue()) return false;
    // Of two members of one name Python's json takes the last.
    if (Place() == "messages") {
      saw_messages_ = true;
      first_user_.reset();
      first_system_.reset();
    }
    return Descend("[]");
  }
  bool end_array() override {
    path_.pop_back();
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    if (!error_) error_ = "Request body is not valid JSON";
    return false;
  }

 private:
  std::string Place() const {
    std::string place;
    for (const std::string& step : path_) {
      if (!place.empty()) place += '/';
      place += step;
    }
    return place;
  }

  bool BeginValue() {
    if (path_.size() < kMaxDepth) return true;
    error_ = "Request body is nested too deeply";
    return false;
  }
  // The body must be one object: no other value may begin at the top.
  bool Descend(const char* step) {
    if (path_.empty() && step[0] == '[') return NotAnObject();
    path_.emplace_back(step);
    return true;
  }
  bool NotAnObject() {
    error_ = "Request body is not a JSON object";
    return false;
  }

  // Every value that is no object or list ends here.
  bool Scalar(const std::string& shown) {
    if (path_.empty()) return NotAnObject();
    if (path_.size() == 1 && IsIn(kSamplingKeys, path_[0])) sampling_[path_[0]] = shown;
    if (path_.size() == 2 && path_[0] == "stop" && path_[1] == "[]") {
      std::string& stop = sampling_["stop"];
      stop += (stop.empty() ? "" : "|") + shown;
    }
    return true;
  }

  void TakeMedia(const char* kind, std::string_view url) {
    item_.media_kind = kind;
    auto described = DescribeMedia(kind, url, bytes_.left_out());
    if (auto* error = std::get_if<MediaError>(&described)) {
      item_.media = std::move(*error);
    } else {
      item_.media = std::get<MediaDescription>(std::move(described));
    }
  }

  void TakeItem() {
    if (item_.type == "text") {
      if (item_.text) {
        message_.text = item_.text;
      } else {
        message_.error = "a text item has no \"text\"";
      }
    } else if (item_.type == "image_url" || item_.type == "video_url") {
      const auto* const found = std::get_if<MediaDescription>(&item_.media);
      const auto* const error = std::get_if<MediaError>(&item_.media);
      if (error != nullptr) {
        message_.error = error->message;
      } else if (found == nullptr || item_.type != item_.media_kind + "_url") {
        message_.error = "an item of type " + item_.type + " has no " + item_.type + ".url";
      } else {
        message_.media.push_back(found->text);
      }
    } else {
      message_.error = "unsupported content item type '" + item_.type + "'";
    }
  }

  void TakeMessage() {
    if (message_.role == "user" && !first_user_) first_user_ = message_;
    if (message_.role == "system" && !first_system_) first_system_ = message_;
  }

  const JsonBytes& bytes_;  // being parsed
  ChatRequest request_;
  std::vector<std::string> path_;
  std::map<std::string, std::string> sampling_;
  Message message_;
  Item item_;
  std::optional<Message> first_user_;
  std::optional<Message> first_system_;
  bool saw_member_ = false;
  bool saw_messages_ = false;
  std::optional<std::string> error_;
};

// application/json, whatever its parameters: else Flask sees no JSON at all.
bool IsJsonType(const std::string* content_type) {
  if (content_type == nullptr) return false;
  std::string type = content_type->substr(0, content_type->find(';'));
  while (!type.empty() && type.back() == ' ') type.pop_back();
  for (char& c : type) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return type == "application/json";
}

}  // namespace

std::variant<ChatRequest, InvalidRequest> ReadChatRequest(RequestBody& body,
                                                          const std::string* content_type) {
  if (!IsJsonType(content_type)) {
    body.Discard();
    return InvalidRequest{"Content-Type is not application/json"};
  }
  JsonBytes bytes(body);
  if (bytes.AtEnd()) return InvalidRequest{"Request body is empty"};
  Reader reader(bytes);
  json::sax_parse(JsonBytes::Iterator(bytes), JsonBytes::Iterator(), &reader);
  body.Discard();
  return reader.Result();
}

}  // namespace tao::reference_backend
