#pragma once

// A reader of long flags in the manner of Python's argparse: `--name value` or `--name=value`,
// argparse's messages, exit code 2. Stricter on purpose where argparse is lenient, because the
// program exists to find wrong command lines: no abbreviated flag, and no flag twice.

#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "docker/reference-backend/early_exit.h"

namespace tao::reference_backend {

struct Flag {
  enum class Kind { kSwitch, kText, kInteger, kNumber };

  std::string name;  // with its dashes
  Kind kind = Kind::kText;
  bool required = false;
};

// The flags that were given; a switch has an empty value. Values of kInteger and kNumber are
// checked: the getters cannot fail.
class Arguments {
 public:
  explicit Arguments(std::map<std::string, std::string> values) : values_(std::move(values)) {}

  bool Has(const std::string& name) const { return values_.count(name) > 0; }
  std::string Text(const std::string& name) const;
  long long Integer(const std::string& name) const;
  double Number(const std::string& name) const;

 private:
  std::map<std::string, std::string> values_;
};

class ArgumentParser {
 public:
  // `program` opens the usage line and every error, sub-commands included.
  ArgumentParser(std::string program, std::vector<Flag> flags);

  std::variant<Arguments, EarlyExit> Parse(const std::vector<std::string>& arguments) const;

  // The exit of a command line that is wrong for the reason `message`.
  EarlyExit Error(std::string_view message) const;

 private:
  const Flag* Find(std::string_view name) const;
  std::string Usage() const;

  std::string program_;
  std::vector<Flag> flags_;
};

}  // namespace tao::reference_backend
