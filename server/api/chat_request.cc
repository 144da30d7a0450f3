#include "server/api/chat_request.h"

#include <absl/strings/str_format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "gateway/chat/json_writer.h"
#include "server/api/sampling_values.h"
#include "server/base/errors.h"
#include "server/base/strings.h"

namespace tao::api {
namespace {

using base::FieldViolation;
using catalog::ContentKind;

constexpr size_t kMaxViolations = 50;

// "image/png": no parameters, and nothing that would end the data: URI or the JSON string.
bool IsMediaType(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == text.size()) return false;
  return std::all_of(text.begin(), text.end(), [&](const char& c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$&-^_.+").find(c) != std::string_view::npos ||
           &c == text.data() + slash;
  });
}

// Appends any JSON value; `finite` becomes false when it holds a number that JSON cannot write.
void AppendValue(std::string& out, const google::protobuf::Value& value, bool& finite) {
  switch (value.kind_case()) {
    case google::protobuf::Value::kNumberValue:
      finite = finite && std::isfinite(value.number_value());
      return AppendNumber(out, value.number_value());
    case google::protobuf::Value::kStringValue:
      return chat::AppendJsonString(out, value.string_value());
    case google::protobuf::Value::kBoolValue:
      out += value.bool_value() ? "true" : "false";
      return;
    case google::protobuf::Value::kListValue: {
      out += '[';
      const char* comma = "";
      for (const google::protobuf::Value& item : value.list_value().values()) {
        out += std::exchange(comma, ",");
        AppendValue(out, item, finite);
      }
      out += ']';
      return;
    }
    case google::protobuf::Value::kStructValue: {
      out += '{';
      const char* comma = "";
      for (const auto& [name, member] : value.struct_value().fields()) {
        out += std::exchange(comma, ",");
        chat::AppendJsonString(out, name);
        out += ':';
        AppendValue(out, member, finite);
      }
      out += '}';
      return;
    }
    case google::protobuf::Value::kNullValue:
    case google::protobuf::Value::KIND_NOT_SET:
      out += "null";
  }
}

// Writes a body, and gathers what is wrong on the way.
class Writer {
 public:
  Writer(pb::ChatRequest& chat, const std::string& network_arch, const catalog::Catalog& catalog)
      : chat_(chat), network_arch_(network_arch), catalog_(catalog) {}

  absl::StatusOr<ChatBody> Write() {
    // The model first: the service is known before the media come.
    text_ = "{";
    chat::AppendJsonMember(text_, "model", chat_.model().empty() ? network_arch_ : chat_.model());
    if (chat_.stream()) text_ += ",\"stream\":true";
    WriteSampling();
    WriteOtherMembers();
    WriteMessages();
    if (!violations_.empty()) return Refusal();
    text_ += '}';
    body_.json.AddText(std::move(text_));
    return std::move(body_);
  }

 private:
  void Find(std::string field, std::string description) {
    violations_.push_back({std::move(field), std::move(description)});
  }

  absl::Status Refusal() const {
    const FieldViolation& first = violations_.front();
    std::string message = absl::StrFormat("%s %s", first.field, first.description);
    if (violations_.size() > 1) {
      message += absl::StrFormat(" (and %d more finding%s)", violations_.size() - 1,
                                 violations_.size() == 2 ? "" : "s");
    }
    base::ErrorDetails details{.reason = "INVALID_CHAT_REQUEST", .violations = violations_};
    if (details.violations.size() > kMaxViolations) details.violations.resize(kMaxViolations);
    return base::WithDetails(absl::InvalidArgumentError(message), details);
  }

  void WriteSampling() {
    body_.applied = ChooseSampling(chat_, catalog_.request().chat, network_arch_,
                                   catalog_.FindArch(network_arch_) != nullptr, violations_);
    for (const pb::SamplingValue& value : body_.applied) {
      text_ += ',';
      chat::AppendJsonString(text_, value.name());
      text_ += ':';
      AppendSamplingJson(text_, value);
    }
  }

  void WriteOtherMembers() {
    const std::vector<catalog::RequestField>& fields = catalog_.request().chat.fields;
    for (const auto& [name, value] : chat_.other_members().fields()) {
      const std::string path = "chat.other_members." + name;
      const bool sampling =
          std::any_of(fields.begin(), fields.end(),
                      [&name = name](const auto& field) { return field.name == name; });
      if (sampling || name == "model" || name == "messages" || name == "stream") {
        Find(path, sampling ? "belongs into `sampling`" : "has a field of its own in ChatRequest");
        continue;
      }
      text_ += ',';
      chat::AppendJsonString(text_, name);
      text_ += ':';
      bool finite = true;
      AppendValue(text_, value, finite);
      if (!finite) Find(path, "holds a number that is not finite; JSON has no other");
    }
  }

  void WriteMessages() {
    text_ += ",\"messages\":[";
    if (chat_.messages().empty()) Find("messages", "is empty; at least one is needed");
    for (int i = 0; i < chat_.messages_size(); ++i) {
      pb::ChatMessage& message = *chat_.mutable_messages(i);
      const std::string path = absl::StrFormat("messages[%d]", i);
      if (message.role().empty()) {
        Find(path + ".role",
             "is empty; one of " + base::JoinedList(catalog_.request().chat.roles) + " is needed");
      }
      text_ += i > 0 ? ",{" : "{";
      chat::AppendJsonMember(text_, "role", message.role());
      text_ += ",\"content\":";
      WriteContent(*message.mutable_content(), path + ".content");
      text_ += '}';
    }
    text_ += ']';
  }

  void WriteContent(google::protobuf::RepeatedPtrField<pb::ContentPart>& parts,
                    const std::string& path) {
    if (parts.empty()) Find(path, "is empty; at least one part is needed");
    if (parts.size() == 1 && parts[0].has_text()) {
      return chat::AppendJsonString(text_, parts[0].text());
    }
    text_ += '[';
    for (int i = 0; i < parts.size(); ++i) {
      if (i > 0) text_ += ',';
      const std::string part_path = absl::StrFormat("%s[%d]", path, i);
      switch (parts[i].part_case()) {
        case pb::ContentPart::kText:
          BeginItem(ContentKind::kText, part_path);
          chat::AppendJsonString(text_, parts[i].text());
          break;
        case pb::ContentPart::kImage:
          BeginItem(ContentKind::kImage, part_path);
          WriteMedia(*parts[i].mutable_image(), part_path + ".image");
          break;
        case pb::ContentPart::kVideo:
          BeginItem(ContentKind::kVideo, part_path);
          WriteMedia(*parts[i].mutable_video(), part_path + ".video");
          break;
        case pb::ContentPart::PART_NOT_SET:
          Find(part_path, "is empty; a text, an image or a video is needed");
          continue;
      }
      text_ += '}';
    }
    text_ += ']';
  }

  // `{"type":NAME,NAME:` for the first item of that kind that the container reads.
  void BeginItem(ContentKind kind, const std::string& path) {
    const std::vector<catalog::ContentItem>& items = catalog_.request().chat.content_items;
    const auto item = std::find_if(items.begin(), items.end(),
                                   [kind](const auto& each) { return each.kind == kind; });
    if (item == items.end()) {
      return Find(path, absl::StrFormat("is %s; the containers of this release read none",
                                        catalog::ToString(kind)));
    }
    text_ += '{';
    chat::AppendJsonMember(text_, "type", item->name);
    text_ += ',';
    chat::AppendJsonString(text_, item->name);
    text_ += ':';
  }

  void WriteMedia(pb::Media& media, const std::string& path) {
    text_ += "{\"url\":";
    if (media.source_case() == pb::Media::kData) {
      if (!IsMediaType(media.mime_type())) {
        Find(path + ".mime_type",
             media.mime_type().empty()
                 ? std::string("is empty; data needs one, e.g. image/png")
                 : absl::StrFormat("is %s; expected a type such as image/png, without parameters",
                                   base::Quoted(media.mime_type())));
      }
      if (media.data().empty()) Find(path + ".data", "is empty");
      text_ += "\"data:" + media.mime_type() + ";base64,";
      body_.json.AddText(std::exchange(text_, {}));
      body_.json.AddBase64(std::move(*media.mutable_data()));
      text_ = "\"";
    } else {
      if (media.url().empty()) Find(path, "is empty; a url or data is needed");
      if (!media.mime_type().empty()) {
        Find(path + ".mime_type", "belongs to data alone; what a URL holds shows there");
      }
      chat::AppendJsonString(text_, media.url());
    }
    text_ += '}';
  }

  pb::ChatRequest& chat_;
  const std::string& network_arch_;
  const catalog::Catalog& catalog_;
  std::string text_;  // not in body_ yet
  ChatBody body_;
  std::vector<FieldViolation> violations_;
};

}  // namespace

absl::StatusOr<ChatBody> WriteChatBody(pb::ChatRequest& chat, const std::string& network_arch,
                                       const catalog::Catalog& catalog) {
  return Writer(chat, network_arch, catalog).Write();
}

}  // namespace tao::api
