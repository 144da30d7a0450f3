#include "clients/cli/sampling_flags.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_replace.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "clients/cli/terminal_text.h"
#include "server/base/closest_name.h"
#include "server/base/strings.h"

namespace tao::cli {
namespace {

bool IsKnown(const CLI::App& parser, const std::string& flag) {
  for (const CLI::App* app = &parser; app != nullptr; app = app->get_parent()) {
    if (app->get_option_no_throw(flag) != nullptr) return true;
  }
  return false;
}

std::string Number(double value) { return absl::StrFormat("%g", value); }

std::string RangeText(const pb::SamplingField& field) {
  if (field.has_minimum() && field.has_maximum()) {
    return "from " + Number(field.minimum()) + " to " + Number(field.maximum());
  }
  std::string text;
  if (field.has_minimum()) text = "at least " + Number(field.minimum());
  if (field.has_above()) text = "more than " + Number(field.above());
  if (field.has_maximum()) {
    text += std::string(text.empty() ? "" : " and ") + "at most " + Number(field.maximum());
  }
  return text;
}

bool IsInRange(const pb::SamplingField& field, double value) {
  return (!field.has_minimum() || value >= field.minimum()) &&
         (!field.has_above() || value > field.above()) &&
         (!field.has_maximum() || value <= field.maximum());
}

absl::Status Refused(const pb::SamplingField& field, const std::string& text) {
  return absl::InvalidArgumentError(
      absl::StrFormat("%s is %s; expected %s", field.name(), base::Quoted(text), TypeText(field)));
}

}  // namespace

std::vector<std::string> JoinUnknownFlags(const CLI::App& parser, std::vector<std::string> words) {
  std::vector<std::string> joined;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      joined.insert(joined.end(), words.begin() + static_cast<ptrdiff_t>(i), words.end());
      break;
    }
    const bool flag = word.starts_with("--") && word.find('=') == std::string::npos;
    if (flag && !IsKnown(parser, word) && i + 1 < words.size() && !words[i + 1].starts_with("--")) {
      joined.push_back(word + "=" + words[i + 1]);
      ++i;
      continue;
    }
    joined.push_back(word);
    // The value of one of the parser's own flags is no flag, whatever it looks like.
    if (flag && IsKnown(parser, word) && i + 1 < words.size()) {
      const CLI::Option* option = nullptr;
      for (const CLI::App* app = &parser; app != nullptr && option == nullptr;
           app = app->get_parent()) {
        option = app->get_option_no_throw(word);
      }
      if (option->get_items_expected_max() > 0) joined.push_back(words[++i]);
    }
  }
  return joined;
}

absl::StatusOr<std::vector<SamplingFlag>> ReadSamplingFlags(const std::vector<std::string>& words) {
  std::vector<SamplingFlag> flags;
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    if (!word.starts_with("--") || word.size() == 2 || equals == 2) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s stands alone; put the whole text in quotes", base::Quoted(word)));
    }
    if (equals == std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s is no flag of chat, or its value is missing", base::Quoted(word)));
    }
    flags.push_back(
        {absl::StrReplaceAll(word.substr(2, equals - 2), {{"-", "_"}}), word.substr(equals + 1)});
  }
  return flags;
}

absl::StatusOr<pb::SamplingValue> ParseSampling(const pb::SamplingField& field,
                                                const std::string& text) {
  pb::SamplingValue value;
  value.set_name(field.name());
  int64_t whole = 0;
  double number = 0;
  switch (field.type()) {
    case pb::SAMPLING_TYPE_STRING:
      value.set_string_value(text);
      return value;
    case pb::SAMPLING_TYPE_BOOL:
      if (text != "true" && text != "false") return Refused(field, text);
      value.set_bool_value(text == "true");
      return value;
    default:
      break;
  }
  if (!absl::SimpleAtod(text, &number) || !std::isfinite(number) || !IsInRange(field, number)) {
    return Refused(field, text);
  }
  if (absl::SimpleAtoi(text, &whole)) {
    value.set_int_value(whole);
  } else if (field.type() == pb::SAMPLING_TYPE_INT) {
    return Refused(field, text);
  } else {
    value.set_float_value(number);
  }
  return value;
}

absl::StatusOr<std::vector<pb::SamplingValue>> ToSampling(
    const std::vector<SamplingFlag>& flags, const pb::GetRequestSchemaResponse& schema,
    const std::vector<std::string>& own_flags) {
  std::set<std::string> seen;
  std::vector<std::string> known = own_flags;
  for (const pb::SamplingField& field : schema.sampling()) known.push_back(FlagOf(field.name()));
  for (const SamplingFlag& flag : flags) {
    const bool applies =
        std::any_of(schema.sampling().begin(), schema.sampling().end(),
                    [&](const pb::SamplingField& field) { return field.name() == flag.name; });
    if (!applies) {
      std::vector<std::string> names;
      for (const pb::SamplingField& field : schema.sampling()) {
        names.push_back(FlagOf(field.name()));
      }
      const std::string meant = base::ClosestName(FlagOf(flag.name), known);
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s is no flag of chat, and no sampling field of %s, which has %s%s",
          OneLine(FlagOf(flag.name)), OneLine(schema.network_arch()), base::JoinedList(names),
          meant.empty() ? "" : "; did you mean " + meant + "?"));
    }
    if (!seen.insert(flag.name).second) {
      return absl::InvalidArgumentError(FlagOf(flag.name) + " is given twice; leave one");
    }
  }
  std::vector<pb::SamplingValue> values;
  for (const pb::SamplingField& field : schema.sampling()) {
    for (const SamplingFlag& flag : flags) {
      if (flag.name != field.name()) continue;
      absl::StatusOr<pb::SamplingValue> value = ParseSampling(field, flag.text);
      if (!value.ok()) return value.status();
      values.push_back(*std::move(value));
    }
  }
  return values;
}

std::vector<pb::SamplingValue> GuessSampling(const std::vector<SamplingFlag>& flags) {
  std::vector<pb::SamplingValue> values;
  for (const SamplingFlag& flag : flags) {
    pb::SamplingValue& value = values.emplace_back();
    value.set_name(flag.name);
    int64_t whole = 0;
    double number = 0;
    if (absl::SimpleAtoi(flag.text, &whole)) {
      value.set_int_value(whole);
    } else if (absl::SimpleAtod(flag.text, &number) && std::isfinite(number)) {
      value.set_float_value(number);
    } else if (flag.text == "true" || flag.text == "false") {
      value.set_bool_value(flag.text == "true");
    } else {
      value.set_string_value(flag.text);
    }
  }
  return values;
}

std::vector<pb::SamplingField> MissingFields(const pb::GetRequestSchemaResponse& schema,
                                             const std::vector<pb::SamplingValue>& values) {
  std::vector<pb::SamplingField> missing;
  for (const pb::SamplingField& field : schema.sampling()) {
    const bool set = std::any_of(values.begin(), values.end(), [&](const pb::SamplingValue& value) {
      return value.name() == field.name();
    });
    if (!set) missing.push_back(field);
  }
  return missing;
}

std::string ValueText(const pb::SamplingValue& value) {
  switch (value.value_case()) {
    case pb::SamplingValue::kIntValue:
      return std::to_string(value.int_value());
    case pb::SamplingValue::kFloatValue:
      return Number(value.float_value());
    case pb::SamplingValue::kStringValue:
      return OneLine(value.string_value());
    case pb::SamplingValue::kBoolValue:
      return value.bool_value() ? "true" : "false";
    default:
      return "none";
  }
}

std::string FlagOf(const std::string& field_name) {
  return "--" + absl::StrReplaceAll(field_name, {{"_", "-"}});
}

std::string TypeText(const pb::SamplingField& field) {
  std::string text;
  switch (field.type()) {
    case pb::SAMPLING_TYPE_INT:
      text = "int";
      break;
    case pb::SAMPLING_TYPE_FLOAT:
    case pb::SAMPLING_TYPE_NUMBER:
      text = "number";
      break;
    case pb::SAMPLING_TYPE_BOOL:
      text = "true or false";
      break;
    default:
      text = "text";
  }
  const std::string range = RangeText(field);
  return range.empty() ? text : text + ", " + range;
}

std::string FieldTable(const std::vector<pb::SamplingField>& fields) {
  std::string table;
  for (const pb::SamplingField& field : fields) {
    absl::StrAppendFormat(&table, "  %s (%s; default %s): %s\n", OneLine(FlagOf(field.name())),
                          TypeText(field), ValueText(field.default_value()), OneLine(field.help()));
  }
  return table;
}

}  // namespace tao::cli
