#include "server/catalog/request_json_schema.h"

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include <nlohmann/json.hpp>

#include "server/base/strings.h"
#include "server/catalog/sampling.h"

namespace tao::catalog {
namespace {

using Json = nlohmann::ordered_json;

// JSON Schema's name of a type. A number is whichever its text is: 7 or 7.5.
std::string_view TypeName(FieldType type) {
  switch (type) {
    case FieldType::kInt:
      return "integer";
    case FieldType::kFloat:
    case FieldType::kNumber:
      return "number";
    case FieldType::kBool:
      return "boolean";
    case FieldType::kString:
      break;
  }
  return "string";
}

// A default as the catalog has checked it.
Json Value(FieldType type, const std::string& text) {
  if (type == FieldType::kString) return text;
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

Json FieldSchema(const SamplingField& sampling) {
  const FieldType type = sampling.field->type;
  const FieldRule& rule = *sampling.rule;
  Json field = {{"type", TypeName(type)}, {"description", sampling.help}};
  const auto bound = [&field](const char* word, const std::optional<double>& limit) {
    if (limit.has_value()) field[word] = Json::parse(absl::StrFormat("%.17g", *limit));
  };
  bound("minimum", rule.range.minimum);
  bound("exclusiveMinimum", rule.range.above);
  bound("maximum", rule.range.maximum);
  if (!rule.default_text.empty()) field["default"] = Value(type, rule.default_text);
  if (!rule.container_default.empty()) {
    field["x-tao-container-default"] = Value(type, rule.container_default);
  }
  return field;
}

// The URL of an image or a video. A pattern can say which schemes are refused; what kind of file
// it is shows in the extension of the path, which a description says better.
Json UrlSchema(const ChatBody& chat, const ArchConstraints* rules, ContentKind kind) {
  std::vector<std::string> refused = chat.refused_schemes;
  if (rules != nullptr && !rules->data_uris) refused.push_back("data:");
  Json url = {{"type", "string"}};
  std::string text = "An http(s) URL, or a path inside the container";
  if (rules == nullptr || rules->data_uris) text += ", or a data: URI";
  text += ".";
  if (rules != nullptr) {
    const std::vector<std::string>& extensions =
        kind == ContentKind::kImage ? rules->images : rules->videos;
    if (!extensions.empty()) text += " Files: " + absl::StrJoin(extensions, ", ") + ".";
    if (rules->data_uris && !rules->mime_types.empty()) {
      text += " MIME types of data: URIs: " + absl::StrJoin(rules->mime_types, ", ") + ".";
    }
  }
  url["description"] = text;
  if (!refused.empty()) url["pattern"] = "^(?!(?:" + absl::StrJoin(refused, "|") + "))";
  return url;
}

Json ItemSchema(const ChatBody& chat, const ArchConstraints* rules, const ContentItem& item) {
  Json value = {{"type", "string"}};
  if (item.kind != ContentKind::kText) {
    value = {{"type", "object"},
             {"properties", {{"url", UrlSchema(chat, rules, item.kind)}}},
             {"required", {"url"}}};
  }
  return {{"type", "object"},
          {"properties", {{"type", {{"const", item.name}}}, {item.name, value}}},
          {"required", {"type", item.name}}};
}

Json MessageSchema(const ChatBody& chat, const ArchConstraints* rules) {
  Json items = Json::array();
  for (const ContentItem& item : chat.content_items) items.push_back(ItemSchema(chat, rules, item));
  const Json content = {
      {"anyOf", {{{"type", "string"}}, {{"type", "array"}, {"items", {{"anyOf", items}}}}}}};
  return {{"type", "object"},
          {"properties",
           {{"role",
             {{"enum", chat.openai_roles},
              {"description", "The container reads " + base::JoinedList(chat.roles) +
                                  "; of several user messages the first."}}},
            {"content", content}}},
          {"required", {"role", "content"}}};
}

// A user message with an image or a video in it.
Json HasMedia(const ChatBody& chat) {
  Json kinds = Json::array();
  for (const ContentItem& item : chat.content_items) {
    if (item.kind != ContentKind::kText) kinds.push_back(item.name);
  }
  return {
      {"properties",
       {{"role", {{"const", "user"}}},
        {"content",
         {{"type", "array"},
          {"contains", {{"properties", {{"type", {{"enum", kinds}}}}}, {"required", {"type"}}}}}}}},
      {"required", {"role", "content"}}};
}

}  // namespace

std::string RequestJsonSchema(const RequestSchema& schema, const std::string& network_arch) {
  const ChatBody& chat = schema.chat;
  const auto row = schema.archs.find(network_arch);
  const ArchConstraints* const rules = row == schema.archs.end() ? nullptr : &row->second;

  Json messages = {{"type", "array"}, {"minItems", 1}, {"items", MessageSchema(chat, rules)}};
  messages["contains"] = rules != nullptr && rules->media == MediaRule::kRequired
                             ? HasMedia(chat)
                             : Json{{"properties", {{"role", {{"const", "user"}}}}}};
  Json properties = {
      {"model",
       {{"type", "string"},
        {"description", "A job_id, a network_arch or a served name: one more selector."}}},
      {"messages", std::move(messages)},
      {"stream", {{"type", "boolean"}, {"default", false}}},
  };
  for (const SamplingField& field : SamplingFieldsOf(chat, network_arch)) {
    properties[field.field->name] = FieldSchema(field);
  }
  const Json whole = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                      {"title", "Chat completion request of " + network_arch},
                      {"type", "object"},
                      {"properties", std::move(properties)},
                      {"required", {"messages"}}};
  return whole.dump();
}

}  // namespace tao::catalog
