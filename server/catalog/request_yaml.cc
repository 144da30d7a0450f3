#include "server/catalog/request_yaml.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>

#include <algorithm>
#include <cmath>

#include "server/base/strings.h"
#include "server/catalog/names.h"

namespace tao::catalog {
namespace {

using Archs = std::vector<std::string>;

// Whether `name` may stand in a row per arch. Without any arch service.yaml could not be read,
// which is a finding of its own and no reason for more.
bool IsArch(const Archs& archs, const std::string& name) {
  return archs.empty() || std::find(archs.begin(), archs.end(), name) != archs.end();
}

std::vector<std::string> Texts(std::vector<Placed> placed) {
  std::vector<std::string> texts;
  for (Placed& text : placed) texts.push_back(std::move(text.text));
  return texts;
}

// Names of a list that must all be archs.
std::vector<std::string> ArchList(Section& section, std::string_view key, const Archs& archs) {
  std::vector<std::string> names;
  for (const Placed& name : section.TextList(key, Need::kOptional)) {
    if (!IsArch(archs, name.text)) {
      section.AddUnknown(name, archs);
    }
    names.push_back(name.text);
  }
  return names;
}

std::string UrlPath(Section& section, std::string_view key) {
  const Placed path = section.Text(key, Need::kRequired);
  if (!path.text.empty() && path.text[0] != '/') {
    section.AddAt(path, absl::StrFormat("must be a path that begins with /, but is %s",
                                        base::Quoted(path.text)));
  }
  return path.text;
}

bool IsHttpStatus(int status) { return status >= 100 && status <= 599; }

ReadinessState ReadState(Section row) {
  static const auto* const meanings = new Choices<ReadinessMeaning>{
      {"ready", ReadinessMeaning::kReady},
      {"keep_polling", ReadinessMeaning::kKeepPolling},
      {"failed", ReadinessMeaning::kFailed},
  };
  ReadinessState state;
  state.name = row.Text("name", Need::kRequired).text;
  state.meaning = row.Choice("means", Need::kRequired, *meanings).value_or(state.meaning);
  for (const Placed& status : row.TextList("http", Need::kRequired)) {
    int value = 0;
    if (!absl::SimpleAtoi(status.text, &value) || !IsHttpStatus(value)) {
      row.AddAt(status, absl::StrFormat("must be an HTTP status (100 to 599), but is %s",
                                        base::Quoted(status.text)));
    }
    state.http.push_back(value);
  }
  const Need need = state.meaning == ReadinessMeaning::kReady ? Need::kOptional : Need::kRequired;
  state.reason = row.Text("reason", need).text;
  state.error_type = row.Text("error_type", need).text;
  row.Done();
  return state;
}

ReadinessCheck ReadReadiness(Section section) {
  ReadinessCheck check;
  check.readiness_path = UrlPath(section, "readiness_path");
  check.liveness_path = UrlPath(section, "liveness_path");
  Section polling = section.Map("polling", Need::kRequired);
  check.interval_s = polling.Int("interval_s", Need::kRequired, 1).value_or(1);
  check.timeout_s = polling.Int("timeout_s", Need::kRequired, 1).value_or(1);
  check.total_s = polling.Int("total_s", Need::kRequired, 1).value_or(1);
  polling.Done();
  for (Section& row : section.MapList("states", Need::kRequired)) {
    check.states.push_back(ReadState(row));
  }
  section.Done();
  return check;
}

Range ReadRange(Section& section) {
  Range range;
  range.minimum = section.Number("minimum", Need::kOptional);
  range.above = section.Number("above", Need::kOptional);
  range.maximum = section.Number("maximum", Need::kOptional);
  if (range.minimum.has_value() && range.above.has_value()) {
    section.Add("above", "and minimum exclude each other");
  }
  if (range.maximum.has_value() &&
      ((range.minimum.has_value() && *range.minimum > *range.maximum) ||
       (range.above.has_value() && *range.above >= *range.maximum))) {
    section.Add("maximum", "leaves no value: it is below the least one");
  }
  return range;
}

// A value of a field, under `key`, checked against the field's type and range.
std::string ReadValue(Section& section, std::string_view key, FieldType type, const Range& range) {
  const Placed given = section.Text(key, Need::kOptional);
  if (given.text.empty() || type == FieldType::kString) return given.text;
  if (type == FieldType::kBool) {
    if (given.text != "true" && given.text != "false") {
      section.AddAt(given,
                    absl::StrFormat("must be true or false, but is %s", base::Quoted(given.text)));
    }
    return given.text;
  }
  double value = 0;
  const bool is_number = absl::SimpleAtod(given.text, &value) && std::isfinite(value);
  if (!is_number || (type == FieldType::kInt && value != std::floor(value))) {
    section.AddAt(given, absl::StrFormat("must be %s, but is %s",
                                         type == FieldType::kInt ? "a whole number" : "a number",
                                         base::Quoted(given.text)));
  } else if (!range.Holds(value)) {
    section.AddAt(given, absl::StrFormat("%s is outside the field's own range", given.text));
  }
  return given.text;
}

// What the container uses when the field is left out; `unknown` reads as empty. It may lie outside
// the range, which says what we accept.
std::string ReadContainerDefault(Section& section, FieldType type) {
  constexpr std::string_view kKey = "container_default";
  constexpr std::string_view kUnknown = "unknown";
  if (const DataNode* const node = section.Node(kKey);
      node != nullptr && node->kind == DataNode::Kind::kText && node->text == kUnknown) {
    return "";
  }
  return ReadValue(section, kKey, type, {});
}

void ReadArchRules(Section section, const Archs& archs, RequestField& field) {
  for (const std::string& name : section.Names()) {
    if (!IsArch(archs, name)) {
      section.AddUnknown({.text = name, .line = section.LineOf(name), .path = section.PathOf(name)},
                         archs);
      continue;
    }
    Section row = section.Map(name, Need::kRequired);
    FieldRule rule = field.RuleFor(name);
    if (rule.use != FieldUse::kApplies) {
      row.Add("", "differs for an arch that does not read the field");
    }
    if (row.Bool("any_value", Need::kOptional).value_or(false)) rule.range = {};
    if (row.Has("default")) rule.default_text = ReadValue(row, "default", field.type, rule.range);
    if (row.Has("container_default")) {
      rule.container_default = ReadContainerDefault(row, field.type);
    }
    rule.meaning = row.Text("meaning", Need::kOptional).text;
    row.Done();
    field.archs[name] = rule;
  }
}

// Who reads the field, who ignores it and whose request it has no business in.
void ReadUses(Section& section, const Archs& archs, RequestField& field) {
  const std::vector<std::string> only_for = ArchList(section, "only_for", archs);
  const std::vector<std::string> not_for = ArchList(section, "not_for", archs);
  const std::vector<std::string> ignored_by = ArchList(section, "ignored_by", archs);
  if (!only_for.empty() && !not_for.empty()) {
    section.Add("not_for", "and only_for exclude each other");
  }
  const auto set = [&field](const std::vector<std::string>& names, FieldUse use) {
    for (const std::string& name : names) {
      field.archs[name] = field.rule;
      field.archs[name].use = use;
    }
  };
  set(only_for, FieldUse::kApplies);
  set(not_for, FieldUse::kForeign);
  for (const std::string& name : ignored_by) {
    if (field.archs.contains(name)) {
      section.Add("ignored_by", absl::StrFormat("%s is in %s too", base::Quoted(name),
                                                only_for.empty() ? "not_for" : "only_for"));
    }
  }
  set(ignored_by, FieldUse::kIgnored);
  if (!only_for.empty()) field.rule.use = FieldUse::kForeign;
}

// A field's name in the body; not of a member that every chat completion has.
void CheckFieldName(const Section& parent, const std::string& name, Section& field) {
  static const auto* const kOurs = new std::vector<std::string>{"messages", "model", "stream"};
  const Placed place{.text = name, .line = parent.LineOf(name), .path = parent.PathOf(name)};
  if (std::find(kOurs->begin(), kOurs->end(), name) != kOurs->end()) {
    field.AddAt(place, absl::StrFormat("%s is no sampling field: every chat completion has it",
                                       base::Quoted(name)));
  } else if (!IsFieldName(name)) {
    field.AddAt(place, absl::StrFormat("must be a name of letters, digits and _, but is %s",
                                       base::Quoted(name)));
  }
}

RequestField ReadField(Section section, const std::string& name, const Archs& archs) {
  static const auto* const types = new Choices<FieldType>{
      {"int", FieldType::kInt},       {"float", FieldType::kFloat}, {"number", FieldType::kNumber},
      {"string", FieldType::kString}, {"bool", FieldType::kBool},
  };
  RequestField field;
  field.name = name;
  field.type = section.Choice("type", Need::kRequired, *types).value_or(FieldType::kString);
  const Placed help = section.Text("help", Need::kRequired);
  field.help = help.text;
  if (help.text.find('\n') != std::string::npos) section.AddAt(help, "must be one line");
  field.rule.range = ReadRange(section);
  if (!field.rule.range.empty() &&
      (field.type == FieldType::kString || field.type == FieldType::kBool)) {
    section.Add("type", absl::StrFormat("%s has no range; a number has", ToString(field.type)));
    field.rule.range = {};
  }
  field.rule.default_text = ReadValue(section, "default", field.type, field.rule.range);
  field.rule.container_default = ReadContainerDefault(section, field.type);
  ReadUses(section, archs, field);
  ReadArchRules(section.Map("archs", Need::kOptional), archs, field);
  section.Done();
  return field;
}

void ReadRoles(Section& section, ChatBody& chat) {
  chat.openai_roles = Texts(section.TextList("openai_roles", Need::kRequired));
  for (const Placed& role : section.TextList("roles", Need::kRequired)) {
    if (!chat.openai_roles.empty() && std::find(chat.openai_roles.begin(), chat.openai_roles.end(),
                                                role.text) == chat.openai_roles.end()) {
      section.AddUnknown(role, chat.openai_roles);
    }
    chat.roles.push_back(role.text);
  }
}

std::vector<ContentItem> ReadContentItems(Section section) {
  static const auto* const kinds = new Choices<ContentKind>{
      {"text", ContentKind::kText}, {"image", ContentKind::kImage}, {"video", ContentKind::kVideo}};
  std::vector<ContentItem> items;
  for (const std::string& name : section.Names()) {
    if (name == "type" || !IsFieldName(name)) {
      section.Add(name, "must be a name of letters, digits and _, and not \"type\"");
    }
    items.push_back(
        {name, section.Choice(name, Need::kRequired, *kinds).value_or(ContentKind::kText)});
  }
  if (section.readable() && items.empty()) section.Add("", "must have an item");
  return items;
}

ChatBody ReadChat(Section section, const Archs& archs) {
  ChatBody chat;
  chat.content_type = section.Text("content_type", Need::kRequired).text;
  chat.client_timeout_s = section.Int("client_timeout_s", Need::kRequired, 1).value_or(1);
  ReadRoles(section, chat);
  chat.content_items = ReadContentItems(section.Map("content_items", Need::kRequired));
  for (const Placed& scheme : section.TextList("refused_schemes", Need::kRequired)) {
    if (!IsProtocol(scheme.text)) {
      section.AddAt(scheme, absl::StrFormat("must be a scheme such as s3://, but is %s",
                                            base::Quoted(scheme.text)));
    }
    chat.refused_schemes.push_back(scheme.text);
  }
  Section fields = section.Map("fields", Need::kRequired);
  for (const std::string& name : fields.Names()) {
    Section field = fields.Map(name, Need::kRequired);
    CheckFieldName(fields, name, field);
    chat.fields.push_back(ReadField(std::move(field), name, archs));
  }
  section.Done();
  return chat;
}

// A time-out in seconds: greater than 0, and short enough to be meant.
std::optional<absl::Duration> ReadTimeout(Section& section, std::string_view key) {
  constexpr double kMostSeconds = 7 * 24 * 3600;
  const std::optional<double> seconds = section.Number(key, Need::kOptional);
  if (!seconds.has_value()) return std::nullopt;
  if (*seconds <= 0 || *seconds > kMostSeconds) {
    section.Add(key, absl::StrFormat("must be more than 0 and at most %d seconds (a week)",
                                     static_cast<int>(kMostSeconds)));
    return std::nullopt;
  }
  return absl::Seconds(*seconds);
}

base::TimeoutOverrides ReadTimeouts(Section section) {
  base::TimeoutOverrides timeouts;
  timeouts.connect = ReadTimeout(section, "connect_s");
  timeouts.first_byte = ReadTimeout(section, "first_byte_s");
  timeouts.between_bytes = ReadTimeout(section, "between_bytes_s");
  timeouts.total = ReadTimeout(section, "total_s");
  section.Done();
  return timeouts;
}

// File name extensions, as the contract compares them: in lower case, without the dot.
std::vector<std::string> Extensions(Section& row, std::string_view key) {
  std::vector<std::string> extensions;
  for (const Placed& extension : row.TextList(key, Need::kOptional)) {
    if (!IsExtension(extension.text)) {
      row.AddAt(extension,
                absl::StrFormat("must be a file name extension in lower case, without the dot, "
                                "but is %s",
                                base::Quoted(extension.text)));
    }
    extensions.push_back(extension.text);
  }
  return extensions;
}

ArchConstraints ReadConstraints(Section row) {
  static const auto* const media = new Choices<MediaRule>{{"required", MediaRule::kRequired},
                                                          {"optional", MediaRule::kOptional},
                                                          {"by_model", MediaRule::kByModel}};
  static const auto* const data_uris = new Choices<bool>{{"accepted", true}, {"refused", false}};
  static const auto* const answers = new Choices<AnswerKind>{
      {"text", AnswerKind::kText},
      {"video_data_uri", AnswerKind::kVideoDataUri},
      {"by_model", AnswerKind::kByModel},
  };
  ArchConstraints constraints;
  constraints.media = row.Choice("media", Need::kRequired, *media).value_or(constraints.media);
  constraints.data_uris = row.Choice("data_uris", Need::kRequired, *data_uris).value_or(true);
  constraints.images = Extensions(row, "images");
  constraints.videos = Extensions(row, "videos");
  for (const Placed& type : row.TextList("mime_types", Need::kOptional)) {
    if (!IsMediaType(type.text)) {
      row.AddAt(type, absl::StrFormat("must be image/... or video/..., but is %s",
                                      base::Quoted(type.text)));
    }
    constraints.mime_types.push_back(type.text);
  }
  Section modes = row.Map("modes", Need::kOptional);
  for (const std::string& input : modes.Names()) {
    constraints.modes[input] = modes.Text(input, Need::kRequired).text;
  }
  constraints.answer = row.Choice("answer", Need::kRequired, *answers).value_or(constraints.answer);
  constraints.timeouts = ReadTimeouts(row.Map("timeouts", Need::kOptional));
  row.Done();
  return constraints;
}

std::vector<ContainerError> ReadErrors(Section section) {
  std::vector<ContainerError> errors;
  for (Section& row : section.MapList("errors", Need::kRequired)) {
    ContainerError& error = errors.emplace_back();
    error.http = row.Int("http", Need::kRequired, 100).value_or(0);
    if (error.http > 599) row.Add("http", "must be an HTTP status (100 to 599)");
    error.type = row.Text("type", Need::kRequired).text;
    error.retry = row.Bool("retry", Need::kRequired).value_or(false);
    row.Done();
  }
  section.Done();
  return errors;
}

// Programs for people: whose they are and that none is missing is checked, and no more is kept.
void CheckCodeExamples(Section section, const Archs& archs) {
  for (const std::string& name : section.Names()) {
    if (!IsArch(archs, name)) {
      section.AddUnknown({.text = name, .line = section.LineOf(name), .path = section.PathOf(name)},
                         archs);
    }
    Section examples = section.Map(name, Need::kRequired);
    for (const char* const language : {"python", "node", "curl"}) {
      examples.Text(language, Need::kRequired);
    }
    examples.Done();
  }
  section.Done();
}

}  // namespace

RequestSchema ReadRequestYaml(Section file, const Archs& archs) {
  RequestSchema schema;
  schema.readiness = ReadReadiness(file.Map("readiness_check", Need::kRequired));
  schema.chat = ReadChat(file.Map("chat_completions_request_body", Need::kRequired), archs);
  Section constraints = file.Map("network_arch_constraints", Need::kRequired);
  for (const std::string& name : constraints.Names()) {
    if (!IsArch(archs, name)) {
      constraints.AddUnknown(
          {.text = name, .line = constraints.LineOf(name), .path = constraints.PathOf(name)},
          archs);
    }
    schema.archs[name] = ReadConstraints(constraints.Map(name, Need::kRequired));
  }
  schema.errors = ReadErrors(file.Map("container_response_shapes", Need::kRequired));
  CheckCodeExamples(file.Map("code_examples", Need::kOptional), archs);
  file.Done();
  return schema;
}

}  // namespace tao::catalog
