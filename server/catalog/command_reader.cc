#include "server/catalog/command_reader.h"

#include <absl/strings/str_format.h>

#include <algorithm>

#include "server/base/closest_name.h"
#include "server/base/strings.h"
#include "server/catalog/names.h"

namespace tao::catalog {
namespace {

const Choices<Value>& CommandValues() {
  static const auto* const values = new Choices<Value>{
      {"job_json", Value::kJobJson},         {"env_json", Value::kEnvJson},
      {"checkpoint", Value::kCheckpoint},    {"output_dir", Value::kOutputDir},
      {"model_path", Value::kModelPath},     {"job_id", Value::kJobId},
      {"network_arch", Value::kNetworkArch}, {"execution_backend", Value::kExecutionBackend},
  };
  return *values;
}

const Choices<OptionType>& OptionTypes() {
  static const auto* const types = new Choices<OptionType>{
      {"string", OptionType::kString},
      {"int", OptionType::kInt},
      {"float", OptionType::kFloat},
      {"flag", OptionType::kFlag},
  };
  return *types;
}

std::string Flag(Section& item, std::string_view key) {
  const Placed flag = item.Text(key, Need::kRequired);
  if (!flag.text.empty() && !IsFlag(flag.text)) {
    item.AddAt(
        flag, absl::StrFormat("must be a flag such as --port, but is %s", base::Quoted(flag.text)));
  }
  return flag.text;
}

void ReadValue(Section& item, CommandItem& command) {
  command.kind = CommandItem::Kind::kValue;
  command.value =
      item.Choice("value", Need::kRequired, CommandValues()).value_or(Value::kNetworkArch);
  if (command.value != Value::kCheckpoint) return;
  command.path_flag = Flag(item, "path_flag");
  command.key_flag = Flag(item, "key_flag");
}

void ReadOption(Section& item, CommandItem& command) {
  command.kind = CommandItem::Kind::kOption;
  const Placed name = item.Text("option", Need::kRequired);
  if (!name.text.empty() && !IsOptionName(name.text)) {
    item.AddAt(name, absl::StrFormat("must be lower-case letters, digits, _ and -, but is %s",
                                     base::Quoted(name.text)));
  }
  command.option = name.text;
  command.text = Flag(item, "flag");
  command.type = item.Choice("type", Need::kRequired, OptionTypes()).value_or(OptionType::kString);
  command.minimum = item.Number("minimum", Need::kOptional);
  command.is_idle_timeout = item.Bool("idle_timeout", Need::kOptional).value_or(false);

  const bool numeric = command.type == OptionType::kInt || command.type == OptionType::kFloat;
  if (command.minimum.has_value() && !numeric) {
    item.Add("minimum", "is for options of type int or float");
  }
  if (command.is_idle_timeout && !numeric) {
    item.Add("idle_timeout", "is for an option of type int or float: it takes minutes");
  }
}

// False when the item's kind is not clear.
bool ReadItem(Section& item, CommandItem& command) {
  const std::vector<std::string> kinds = {"literal", "value", "option", "port_flag"};
  std::vector<std::string> given;
  for (const std::string& kind : kinds) {
    if (item.Has(kind)) given.push_back(kind);
  }
  if (given.size() != 1) {
    item.Add("", absl::StrFormat("must have exactly one of %s, but has %s", base::JoinedList(kinds),
                                 base::JoinedList(given)));
    return false;
  }
  if (given[0] == "literal") {
    command.kind = CommandItem::Kind::kLiteral;
    command.text = item.Text("literal", Need::kRequired).text;
  } else if (given[0] == "value") {
    ReadValue(item, command);
  } else if (given[0] == "option") {
    ReadOption(item, command);
  } else {
    command.kind = CommandItem::Kind::kPortFlag;
    command.text = Flag(item, "port_flag");
  }
  item.Done();
  return true;
}

// What may stand in a command only once.
std::string OnceKey(const CommandItem& item) {
  switch (item.kind) {
    case CommandItem::Kind::kLiteral:
      return "";
    case CommandItem::Kind::kValue:
      return item.value == Value::kCheckpoint ? "value: checkpoint" : "";
    case CommandItem::Kind::kOption:
      // Callers may write `-` and `_` for each other (launch/arch_options.h).
      return "option: " + base::FoldedName(item.option);
    case CommandItem::Kind::kPortFlag:
      return "port_flag";
  }
  return "";
}

void ReadCommand(Section& row, Arch& arch) {
  std::vector<std::string> seen;
  std::vector<Section> items = row.MapList("command", Need::kRequired);
  for (Section& item : items) {
    CommandItem command;
    if (!ReadItem(item, command)) continue;
    if (&item == &items.front() && command.kind != CommandItem::Kind::kLiteral) {
      item.Add("", "must be a literal: the first word is the program to run");
    }
    const std::string once = OnceKey(command);
    if (!once.empty() && std::find(seen.begin(), seen.end(), once) != seen.end()) {
      item.Add("", absl::StrFormat("has \"%s\" a second time", once));
    }
    if (command.is_idle_timeout &&
        std::any_of(arch.command.begin(), arch.command.end(),
                    [](const CommandItem& earlier) { return earlier.is_idle_timeout; })) {
      item.Add("idle_timeout", "is set by an earlier option already");
    }
    seen.push_back(once);
    arch.command.push_back(std::move(command));
  }
  const DataNode* list = row.Node("command");
  if (list != nullptr && list->kind == DataNode::Kind::kList && items.empty()) {
    row.Add("command", "has no word: it must begin with a program to run");
  }
}

bool Uses(const Arch& arch, Value value) {
  return std::any_of(arch.command.begin(), arch.command.end(), [&](const CommandItem& item) {
    return item.kind == CommandItem::Kind::kValue && item.value == value;
  });
}

}  // namespace

void ReadContainerCommand(Section& row, Arch& arch) {
  ReadCommand(row, arch);
  arch.output_dir = row.Text("output_dir", Need::kOptional).text;
  for (Placed& key : row.TextList("model_keys", Need::kOptional)) {
    arch.model_keys.push_back(std::move(key.text));
  }
  arch.needs_env_payload = row.Bool("env_payload", Need::kOptional).value_or(true);
  for (Placed& name : row.TextList("required_secrets", Need::kOptional)) {
    arch.required_secrets.push_back(std::move(name.text));
  }

  const bool uses_output_dir = Uses(arch, Value::kOutputDir);
  if (uses_output_dir && !row.Has("output_dir")) {
    row.Add("output_dir", "is missing; the command has `value: output_dir`");
  } else if (!arch.output_dir.empty() && !uses_output_dir) {
    row.Add("output_dir", "is of no use: the command has no `value: output_dir`");
  } else if (!arch.output_dir.empty() && arch.output_dir[0] != '/') {
    row.Add("output_dir", absl::StrFormat("must be an absolute path in the container, but is %s",
                                          base::Quoted(arch.output_dir)));
  }
  if (!arch.model_keys.empty() && !arch.takes_model_key()) {
    row.Add("model_keys", "is of no use: the command has no `value: checkpoint`");
  }
  if (!arch.needs_env_payload && Uses(arch, Value::kEnvJson)) {
    row.Add("env_payload", "must not be false: the command has `value: env_json`");
  }
  row.Done();
}

}  // namespace tao::catalog
