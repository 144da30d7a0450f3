#include "server/api/sampling_values.h"

#include <absl/strings/str_format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "gateway/chat/json_writer.h"
#include "server/api/request_schema.h"
#include "server/base/closest_name.h"
#include "server/base/strings.h"
#include "server/catalog/sampling.h"

namespace tao::api {
namespace {

using base::FieldViolation;

bool HasValue(const pb::SamplingValue& value) {
  return value.value_case() != pb::SamplingValue::VALUE_NOT_SET &&
         (value.value_case() != pb::SamplingValue::kLeftOut || value.left_out());
}

std::vector<std::string> NamesOf(const std::vector<catalog::SamplingField>& fields) {
  std::vector<std::string> names;
  for (const catalog::SamplingField& field : fields) names.push_back(field.field->name);
  return names;
}

std::string NoFieldOf(const std::string& name, const std::string& network_arch,
                      const std::vector<std::string>& names, const catalog::ChatBody& schema) {
  const bool of_others = std::any_of(schema.fields.begin(), schema.fields.end(),
                                     [&](const auto& field) { return field.name == name; });
  return absl::StrFormat("%s is no sampling field of %s, which has %s%s%s", base::Quoted(name),
                         network_arch, base::JoinedList(names), base::DidYouMean(name, names),
                         of_others ? ""
                                   : "; members of the body beyond these go into "
                                     "other_members");
}

// What is wrong with one value by itself; empty: nothing.
std::string Fault(const pb::SamplingValue& value) {
  if (value.name().empty()) return "has no name";
  if (!HasValue(value)) {
    return absl::StrFormat("%s has no value; left_out = true leaves it to the container",
                           base::Quoted(value.name()));
  }
  if (value.value_case() == pb::SamplingValue::kFloatValue && !std::isfinite(value.float_value())) {
    return absl::StrFormat("%s is no finite number; JSON has no other", base::Quoted(value.name()));
  }
  return "";
}

FieldViolation Missing(const catalog::SamplingField& sampling) {
  const catalog::FieldRule& rule = *sampling.rule;
  std::string range = catalog::ToText(rule.range);
  if (!range.empty()) range = " (" + range + ")";
  const std::string what =
      rule.default_text.empty()
          ? std::string("is not set; set it, or left_out, or accept_defaults, which leaves it out")
          : absl::StrFormat("is not set%s; set it, or accept_defaults, which sets %s", range,
                            rule.default_text);
  return {sampling.field->name, what};
}

}  // namespace

std::vector<pb::SamplingValue> ChooseSampling(const pb::ChatRequest& chat,
                                              const catalog::ChatBody& schema,
                                              const std::string& network_arch, bool checks_names,
                                              std::vector<FieldViolation>& violations) {
  std::vector<catalog::SamplingField> fields;
  if (checks_names) fields = catalog::SamplingFieldsOf(schema, network_arch);
  const std::vector<std::string> names = NamesOf(fields);

  std::map<std::string, const pb::SamplingValue*> given;
  std::vector<pb::SamplingValue> chosen;
  for (int i = 0; i < chat.sampling_size(); ++i) {
    const pb::SamplingValue& value = chat.sampling(i);
    std::string fault = Fault(value);
    if (fault.empty() && checks_names &&
        std::find(names.begin(), names.end(), value.name()) == names.end()) {
      fault = NoFieldOf(value.name(), network_arch, names, schema);
    }
    if (fault.empty() && !given.emplace(value.name(), &value).second) {
      fault = absl::StrFormat("%s is given twice", base::Quoted(value.name()));
    }
    if (!fault.empty()) {
      violations.push_back({absl::StrFormat("chat.sampling[%d]", i), fault});
      given.emplace(value.name(), &value);  // wrong, but not missing
    } else if (!checks_names && !value.left_out()) {
      chosen.push_back(value);
    }
  }
  for (const catalog::SamplingField& field : fields) {
    const std::string& name = field.field->name;
    const auto found = given.find(name);
    if (found == given.end() && !chat.accept_defaults()) {
      violations.push_back(Missing(field));
      continue;
    }
    pb::SamplingValue value =
        found != given.end() ? *found->second
                             : ToSamplingValue(name, field.field->type, field.rule->default_text);
    if (!value.left_out()) chosen.push_back(std::move(value));
  }
  return chosen;
}

void AppendNumber(std::string& out, double number) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  out.append(digits, end);
}

void AppendSamplingJson(std::string& out, const pb::SamplingValue& value) {
  switch (value.value_case()) {
    case pb::SamplingValue::kIntValue:
      out += std::to_string(value.int_value());
      return;
    case pb::SamplingValue::kFloatValue:
      return AppendNumber(out, value.float_value());
    case pb::SamplingValue::kStringValue:
      return chat::AppendJsonString(out, value.string_value());
    case pb::SamplingValue::kBoolValue:
      out += value.bool_value() ? "true" : "false";
      return;
    case pb::SamplingValue::kLeftOut:
    case pb::SamplingValue::VALUE_NOT_SET:
      out += "null";
  }
}

}  // namespace tao::api
