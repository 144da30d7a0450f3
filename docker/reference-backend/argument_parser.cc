#include "docker/reference-backend/argument_parser.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>

namespace tao::reference_backend {
namespace {

// The name of the value in the usage line, as argparse makes it: --docker_env_vars DOCKER_ENV_VARS.
std::string Metavar(const Flag& flag) {
  std::string name = flag.name.substr(2);
  for (char& c : name) c = c == '-' ? '_' : static_cast<char>(std::toupper(c));
  return name;
}

template <typename Number>
bool IsWhole(std::string_view text, Number& value) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end;
}

bool LooksLikeNegativeNumber(std::string_view text) {
  double value = 0;
  return text.size() > 1 && text[0] == '-' && IsWhole(text, value);
}

// Why `text` is no value of this kind; nothing when it is one.
std::optional<std::string> WrongValue(Flag::Kind kind, const std::string& text) {
  long long integer = 0;
  double number = 0;
  if (kind == Flag::Kind::kInteger && !IsWhole(text, integer)) {
    return "invalid int value: '" + text + "'";
  }
  if (kind == Flag::Kind::kNumber && (!IsWhole(text, number) || !std::isfinite(number))) {
    return "invalid float value: '" + text + "'";
  }
  return std::nullopt;
}

std::string Joined(const std::vector<std::string>& words, std::string_view separator) {
  std::string joined;
  for (const std::string& word : words) {
    if (!joined.empty()) joined += separator;
    joined += word;
  }
  return joined;
}

}  // namespace

std::string Arguments::Text(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? "" : found->second;
}

long long Arguments::Integer(const std::string& name) const {
  return std::atoll(Text(name).c_str());
}

double Arguments::Number(const std::string& name) const { return std::atof(Text(name).c_str()); }

ArgumentParser::ArgumentParser(std::string program, std::vector<Flag> flags)
    : program_(std::move(program)), flags_(std::move(flags)) {}

const Flag* ArgumentParser::Find(std::string_view name) const {
  const auto found = std::find_if(flags_.begin(), flags_.end(),
                                  [name](const Flag& flag) { return flag.name == name; });
  return found == flags_.end() ? nullptr : &*found;
}

std::string ArgumentParser::Usage() const {
  std::string usage = "usage: " + program_ + " [-h]";
  for (const Flag& flag : flags_) {
    std::string word = flag.name;
    if (flag.kind != Flag::Kind::kSwitch) word += " " + Metavar(flag);
    usage += flag.required ? " " + word : " [" + word + "]";
  }
  return usage + "\n";
}

EarlyExit ArgumentParser::Error(std::string_view message) const {
  std::string text = Usage() + program_ + ": error: ";
  text += message;
  return {2, text + "\n"};
}

std::variant<Arguments, EarlyExit> ArgumentParser::Parse(
    const std::vector<std::string>& arguments) const {
  std::map<std::string, std::string> values;
  std::vector<std::string> unrecognized;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (word == "-h" || word == "--help") return EarlyExit{0, Usage()};
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const Flag* const flag = Find(name);
    if (flag == nullptr) {
      unrecognized.push_back(word);
      continue;
    }
    if (values.count(name) > 0) return Error("argument " + name + ": given twice");
    std::string value;
    if (equals != std::string::npos) {
      if (flag->kind == Flag::Kind::kSwitch) {
        return Error("argument " + name + ": ignored explicit argument '" +
                     word.substr(equals + 1) + "'");
      }
      value = word.substr(equals + 1);
    } else if (flag->kind != Flag::Kind::kSwitch) {
      const bool has_value =
          i + 1 < arguments.size() && (arguments[i + 1].empty() || arguments[i + 1][0] != '-' ||
                                       LooksLikeNegativeNumber(arguments[i + 1]));
      if (!has_value) return Error("argument " + name + ": expected one argument");
      value = arguments[++i];
    }
    if (const auto wrong = WrongValue(flag->kind, value)) {
      return Error("argument " + name + ": " + *wrong);
    }
    values.emplace(name, std::move(value));
  }

  std::vector<std::string> missing;
  for (const Flag& flag : flags_) {
    if (flag.required && values.count(flag.name) == 0) missing.push_back(flag.name);
  }
  if (!missing.empty()) {
    return Error("the following arguments are required: " + Joined(missing, ", "));
  }
  if (!unrecognized.empty()) {
    return Error("unrecognized arguments: " + Joined(unrecognized, " "));
  }
  return Arguments(std::move(values));
}

}  // namespace tao::reference_backend
