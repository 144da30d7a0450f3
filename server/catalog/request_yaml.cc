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

// The default of a field, checked against the field's type and range.
std::string ReadDefault(Section& section, FieldType type, const Range& range) {
  const Placed given = section.Text("default", Need::kOptional);
  if (given.text.empty() || type == FieldType::kString) return given.text;
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

void ReadArchRules(Section section, const Archs& archs, RequestField& field) {
  for (const std::string& name : section.Names()) {
    if (!IsArch(archs, name)) {
      section.AddUnknown({.text = name, .line = section.LineOf(name), .path = section.PathOf(name)},
                         archs);
      continue;
    }
    Section row = section.Map(name, Need::kRequired);
    FieldRule rule = field.RuleFor(name);
    if (!rule.supported) row.Add("", "differs for an arch that does not support the field");
    if (row.Bool("any_value", Need::kOptional).value_or(false)) rule.range = {};
    if (row.Has("default")) rule.default_text = ReadDefault(row, field.type, rule.range);
    rule.meaning = row.Text("meaning", Need::kOptional).text;
    row.Done();
    field.archs[name] = rule;
  }
}

RequestField ReadField(Section section, const std::string& name, const Archs& archs) {
  static const auto* const types = new Choices<FieldType>{
      {"int", FieldType::kInt},
      {"float", FieldType::kFloat},
      {"number", FieldType::kNumber},
      {"string", FieldType::kString},
  };
  RequestField field;
  field.name = name;
  field.type = section.Choice("type", Need::kRequired, *types).value_or(FieldType::kString);
  field.rule.range = ReadRange(section);
  field.rule.default_text = ReadDefault(section, field.type, field.rule.range);

  const std::vector<std::string> only_for = ArchList(section, "only_for", archs);
  const std::vector<std::string> not_for = ArchList(section, "not_for", archs);
  if (!only_for.empty() && !not_for.empty()) {
    section.Add("not_for", "and only_for exclude each other");
  }
  // The archs listed have one rule, those not listed the other.
  FieldRule listed = field.rule;
  listed.supported = !only_for.empty();
  for (const std::string& arch : only_for.empty() ? not_for : only_for) field.archs[arch] = listed;
  field.rule.supported = only_for.empty();

  ReadArchRules(section.Map("archs", Need::kOptional), archs, field);
  section.Done();
  return field;
}

ChatBody ReadChat(Section section, const Archs& archs) {
  ChatBody chat;
  chat.content_type = section.Text("content_type", Need::kRequired).text;
  chat.client_timeout_s = section.Int("client_timeout_s", Need::kRequired, 1).value_or(1);
  chat.roles = Texts(section.TextList("roles", Need::kRequired));
  for (const Placed& scheme : section.TextList("refused_schemes", Need::kRequired)) {
    if (!IsProtocol(scheme.text)) {
      section.AddAt(scheme, absl::StrFormat("must be a scheme such as s3://, but is %s",
                                            base::Quoted(scheme.text)));
    }
    chat.refused_schemes.push_back(scheme.text);
  }
  Section fields = section.Map("fields", Need::kRequired);
  for (const std::string& name : fields.Names()) {
    chat.fields.push_back(ReadField(fields.Map(name, Need::kRequired), name, archs));
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
  constraints.images = Texts(row.TextList("images", Need::kOptional));
  constraints.videos = Texts(row.TextList("videos", Need::kOptional));
  constraints.mime_types = Texts(row.TextList("mime_types", Need::kOptional));
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
  file.Done();
  return schema;
}

}  // namespace tao::catalog
