#include "server/launch/command_builder.h"

#include <absl/strings/str_format.h>

#include "server/base/shell_quote.h"
#include "server/launch/python_json.h"

namespace tao::launch {
namespace {

using catalog::CommandItem;
using catalog::Value;

// What a payload's terms can say.
struct Facts {
  const catalog::Arch& arch;
  const LaunchContext& context;
  const ModelSource& model;
};

std::string TextOf(const catalog::Term& term, const Facts& facts) {
  if (!term.value.has_value()) return term.text;
  switch (*term.value) {
    case Value::kJobId:
      return facts.context.job_id;
    case Value::kModelPath:
      return facts.model.path;
    case Value::kNetworkArch:
      return facts.arch.name;
    case Value::kExecutionBackend:
      return facts.context.execution_backend;
    // The catalog lets no other value into a term.
    case Value::kJobJson:
    case Value::kEnvJson:
    case Value::kCheckpoint:
    case Value::kOutputDir:
      break;
  }
  return "";
}

PythonJsonObject JobPayload(const std::vector<catalog::PayloadMember>& members,
                            const Facts& facts) {
  PythonJsonObject object;
  for (const catalog::PayloadMember& member : members) {
    if (member.members.empty()) {
      object.Add(member.name, TextOf(member.term, facts));
    } else {
      object.Add(member.name, JobPayload(member.members, facts));
    }
  }
  return object;
}

// The words of a value item.
std::vector<std::string> WordsOf(const CommandItem& item, const CommandInputs& inputs) {
  const Facts facts{.arch = inputs.arch, .context = inputs.context, .model = inputs.model};
  switch (item.value) {
    case Value::kJobJson:
      return {JobPayload(inputs.catalog.job_payload(), facts).Dump()};
    case Value::kEnvJson: {
      PythonJsonObject object;
      for (const auto& [name, value] : inputs.payload) object.Add(name, value);
      return {object.Dump()};
    }
    case Value::kCheckpoint:
      if (inputs.model.on_hub()) return {item.key_flag, inputs.model.key};
      return {item.path_flag, inputs.model.path};
    case Value::kOutputDir:
      return {inputs.arch.output_dir};
    case Value::kJobId:
    case Value::kModelPath:
    case Value::kNetworkArch:
    case Value::kExecutionBackend:
      return {TextOf({.text = "", .value = item.value}, facts)};
  }
  return {};
}

}  // namespace

InnerCommand BuildInnerCommand(const CommandInputs& inputs) {
  std::vector<std::string> words;
  std::optional<size_t> port_word;
  const auto add = [&words](std::string_view word) { words.push_back(base::ShellQuote(word)); };
  for (const CommandItem& item : inputs.arch.command) {
    switch (item.kind) {
      case CommandItem::Kind::kLiteral:
        add(item.text);
        break;
      case CommandItem::Kind::kValue:
        for (const std::string& word : WordsOf(item, inputs)) add(word);
        break;
      case CommandItem::Kind::kOption: {
        const auto given = inputs.options.find(item.option);
        if (given == inputs.options.end()) break;
        add(item.text);
        if (item.type != catalog::OptionType::kFlag) add(given->second);
        break;
      }
      case CommandItem::Kind::kPortFlag:
        add(item.text);
        port_word = words.size();
        words.emplace_back();  // Render() puts the port here
        break;
    }
  }
  return InnerCommand(std::move(words), port_word);
}

Variables PayloadVariables(const catalog::Catalog& catalog, const catalog::Arch& arch,
                           const LaunchContext& context, const ModelSource& model) {
  Variables variables;
  if (!arch.needs_env_payload) return variables;
  for (const auto& [name, term] : catalog.payload_env()) {
    variables.emplace_back(name, TextOf(term, {.arch = arch, .context = context, .model = model}));
  }
  return variables;
}

}  // namespace tao::launch
