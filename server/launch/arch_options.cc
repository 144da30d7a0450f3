#include "server/launch/arch_options.h"

#include <absl/strings/str_format.h>

#include <charconv>
#include <cmath>
#include <cstdint>
#include <vector>

#include "server/base/closest_name.h"
#include "server/base/strings.h"
#include "server/launch/python_json.h"

namespace tao::launch {
namespace {

using catalog::CommandItem;
using catalog::OptionType;

constexpr size_t kMaxOptions = 64;
constexpr size_t kMaxNameBytes = 64;
constexpr size_t kMaxValueBytes = 4096;
constexpr double kMaxIdleMinutes = 366 * 24 * 60;  // a year; more is a mistake of units
constexpr char kIdleField[] = "idle_timeout_minutes";

std::vector<const CommandItem*> OptionsOf(const catalog::Arch& arch) {
  std::vector<const CommandItem*> options;
  for (const CommandItem& item : arch.command) {
    if (item.kind == CommandItem::Kind::kOption) options.push_back(&item);
  }
  return options;
}

// The whole of `text` as a number.
template <typename T>
std::optional<T> ParseNumber(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Whether the option may have this value, which is a number as far as its type is concerned.
bool AllowsNumber(const std::string& field, const CommandItem& option, double value,
                  RequestCheck& check) {
  if (option.minimum.has_value() && value < *option.minimum) {
    check.Add(field, absl::StrFormat("must be at least %g", *option.minimum));
    return false;
  }
  if (option.is_idle_timeout && (value <= 0 || value > kMaxIdleMinutes)) {
    check.Add(field, absl::StrFormat("is in minutes: more than 0, and at most %.0f (a year)",
                                     kMaxIdleMinutes));
    return false;
  }
  return true;
}

// The word for `text`; nullopt with the violation added.
std::optional<std::string> WordOf(const std::string& field, const CommandItem& option,
                                  std::string_view text, RequestCheck& check) {
  switch (option.type) {
    case OptionType::kString:
      if (text.empty() || text[0] == '-') {
        check.Add(field, absl::StrFormat("%s: must not be empty nor begin with '-', which the "
                                         "container would take for a flag",
                                         base::Quoted(text)));
        return std::nullopt;
      }
      return std::string(text);
    case OptionType::kInt: {
      const std::optional<int64_t> value = ParseNumber<int64_t>(text);
      if (!value.has_value()) break;
      if (!AllowsNumber(field, option, static_cast<double>(*value), check)) return std::nullopt;
      return absl::StrFormat("%d", *value);
    }
    case OptionType::kFloat: {
      const std::optional<double> value = ParseNumber<double>(text);
      if (!value.has_value() || !std::isfinite(*value)) break;
      if (!AllowsNumber(field, option, *value, check)) return std::nullopt;
      return PythonFloat(*value);
    }
    case OptionType::kFlag:
      if (text == "true" || text == "false") return "";
      check.Add(field, absl::StrFormat("%s: must be true or false", base::Quoted(text)));
      return std::nullopt;
  }
  check.Add(field, absl::StrFormat("%s: must be a%s number", base::Quoted(text),
                                   option.type == OptionType::kInt ? " whole" : ""));
  return std::nullopt;
}

void AddUnknownOption(const std::string& field, const std::string& name, const catalog::Arch& arch,
                      RequestCheck& check) {
  std::vector<std::string> known;
  for (const CommandItem* option : OptionsOf(arch)) known.push_back(option->option);
  check.Add(field, absl::StrFormat("%s has no such option%s (its options: %s)", arch.name,
                                   base::DidYouMean(name, known), base::JoinedList(known)));
}

void ReadIdleTimeout(double minutes, const catalog::Arch& arch, RequestCheck& check,
                     OptionWords& words) {
  const CommandItem* idle = nullptr;
  for (const CommandItem* option : OptionsOf(arch)) {
    if (option->is_idle_timeout) idle = option;
  }
  if (idle == nullptr) {
    check.Add(kIdleField, absl::StrFormat("%s cannot end itself; leave it out, and stop the "
                                          "service when it is no longer needed",
                                          arch.name));
    return;
  }
  if (words.contains(idle->option)) {
    check.Add(kIdleField, absl::StrFormat("is set by arch option %s too; give one of the two",
                                          base::Quoted(idle->option)));
    return;
  }
  if (!std::isfinite(minutes)) {
    check.Add(kIdleField, "must be a finite number of minutes");
    return;
  }
  if (!AllowsNumber(kIdleField, *idle, minutes, check)) return;
  if (idle->type == OptionType::kInt && minutes != std::floor(minutes)) {
    check.Add(kIdleField, absl::StrFormat("%s counts whole minutes; %s is none", arch.name,
                                          PythonFloat(minutes)));
    return;
  }
  words[idle->option] = idle->type == OptionType::kInt
                            ? absl::StrFormat("%d", static_cast<int64_t>(minutes))
                            : PythonFloat(minutes);
}

}  // namespace

OptionWords ReadArchOptions(const LaunchRequest& request, const catalog::Arch* arch,
                            RequestCheck& check) {
  OptionWords words;
  if (request.arch_options.size() > kMaxOptions) {
    check.Add("arch_options", absl::StrFormat("has %d entries; at most %d are allowed",
                                              request.arch_options.size(), kMaxOptions));
    return words;
  }
  std::map<std::string, std::string> given;  // folded name -> as it was written
  for (const auto& [name, value] : request.arch_options) {
    if (!check.AllowsText("arch_options", name, kMaxNameBytes)) continue;
    const std::string field = RequestCheck::PathOf("arch_options", name);
    if (!check.AllowsText(field, value, kMaxValueBytes) || arch == nullptr) continue;

    const CommandItem* option = nullptr;
    for (const CommandItem* each : OptionsOf(*arch)) {
      if (base::FoldedName(each->option) == base::FoldedName(name)) option = each;
    }
    if (option == nullptr) {
      AddUnknownOption(field, name, *arch, check);
      continue;
    }
    if (const auto [twin, is_new] = given.emplace(base::FoldedName(name), name); !is_new) {
      check.Add(field, absl::StrFormat("is the same option as %s; give it once",
                                       base::Quoted(twin->second)));
      continue;
    }
    const std::optional<std::string> word = WordOf(field, *option, value, check);
    if (word.has_value() && !(option->type == OptionType::kFlag && value == "false")) {
      words[option->option] = *word;
    }
  }
  if (arch != nullptr && request.idle_timeout_minutes.has_value()) {
    ReadIdleTimeout(*request.idle_timeout_minutes, *arch, check, words);
  }
  return words;
}

}  // namespace tao::launch
