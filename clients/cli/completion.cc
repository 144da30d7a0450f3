#include "clients/cli/completion.h"

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_replace.h>
#include <absl/strings/str_split.h>

#include <algorithm>
#include <vector>

namespace tao::cli {
namespace {

struct Flag {
  std::string name;  // "--gpu-mode"
  std::string description;
  bool takes_value = false;
  bool is_job_id = false;
  std::vector<std::string> values;  // those that it takes, where they are listed
};

struct CommandWords {
  std::string name;
  std::string description;
  std::vector<Flag> flags;  // the program's own too, which may stand behind the command
  bool takes_job_id = false;
  std::vector<std::string> values;  // of its first argument, where they are listed
};

// "TEXT:{bash,zsh}", as CLI11 describes an option, to its list.
std::vector<std::string> ListedValues(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t open = type.find('{'), close = type.rfind('}');
  if (open == std::string::npos || close == std::string::npos || close < open) return {};
  return absl::StrSplit(type.substr(open + 1, close - open - 1), ',');
}

void AddFlags(const CLI::App& app, std::vector<Flag>& flags) {
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      // --help is the command's and the program's.
      const auto same = [&name](const Flag& flag) { return flag.name == "--" + name; };
      if (std::any_of(flags.begin(), flags.end(), same)) continue;
      flags.push_back({.name = "--" + name,
                       .description = option->get_description(),
                       .takes_value = option->get_items_expected_max() > 0,
                       .is_job_id = name == "job-id",
                       .values = ListedValues(*option)});
    }
  }
}

std::vector<CommandWords> CommandsOf(const CLI::App& app) {
  std::vector<CommandWords> commands;
  for (const CLI::App* parser : app.get_subcommands({})) {
    CommandWords& command = commands.emplace_back();
    command.name = parser->get_name();
    command.description = parser->get_description();
    AddFlags(*parser, command.flags);
    AddFlags(app, command.flags);
    for (const CLI::Option* option : parser->get_options()) {
      if (!option->get_positional()) continue;
      command.takes_job_id = command.takes_job_id || option->get_single_name() == "JOB_ID";
      if (command.values.empty()) command.values = ListedValues(*option);
    }
  }
  return commands;
}

std::string Names(const std::vector<Flag>& flags) {
  return absl::StrJoin(flags, " ",
                       [](std::string* out, const Flag& flag) { out->append(flag.name); });
}

// In single quotes for both shells.
std::string Quoted(const std::string& text) {
  return "'" + absl::StrReplaceAll(text, {{"'", "'\\''"}}) + "'";
}

// "name:description", as _describe takes it.
std::string Described(const std::string& name, const std::string& description) {
  return Quoted(absl::StrReplaceAll(name, {{":", "\\:"}}) + ":" + description);
}

}  // namespace

std::string BashCompletion(const CLI::App& app) {
  const std::vector<CommandWords> commands = CommandsOf(app);
  std::vector<Flag> own;
  AddFlags(app, own);
  std::vector<std::string> names;
  for (const CommandWords& command : commands) names.push_back(command.name);

  std::string flag_cases, value_cases;
  for (const CommandWords& command : commands) {
    const std::string first =
        command.takes_job_id ? "$(_tao_inference_job_ids)" : absl::StrJoin(command.values, " ");
    absl::StrAppendFormat(&flag_cases, "    %s) flags=\"%s\" words=\"%s\" ;;\n", command.name,
                          Names(command.flags), first);
    for (const Flag& flag : command.flags) {
      if (!flag.takes_value) continue;
      absl::StrAppendFormat(
          &value_cases, "    \"%s %s\") words=\"%s\" ;;\n", command.name, flag.name,
          flag.is_job_id ? "$(_tao_inference_job_ids)" : absl::StrJoin(flag.values, " "));
    }
  }
  return absl::StrFormat(
      R"(# Completes tao-inference in bash: source <(tao-inference completion bash)
_tao_inference_job_ids() {
  tao-inference list 2>/dev/null | while read -r job_id rest; do
    [[ $job_id != JOB ]] && printf '%%s\n' "$job_id"
  done
}
_tao_inference() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local command= flags="%s" words="%s" at
  for ((at = 1; at < COMP_CWORD; at++)); do
    case ${COMP_WORDS[at]} in
    %s) command=${COMP_WORDS[at]}; break ;;
    esac
  done
  COMPREPLY=()
  case "$command $previous" in
%s    *) case $command in
%s      esac
      [[ $current == -* ]] && words=$flags ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _tao_inference tao-inference
)",
      Names(own), absl::StrJoin(names, " "), absl::StrJoin(names, "|"), value_cases, flag_cases);
}

std::string ZshCompletion(const CLI::App& app) {
  const std::vector<CommandWords> commands = CommandsOf(app);
  std::vector<Flag> own;
  AddFlags(app, own);
  const auto described = [](const std::vector<Flag>& flags) {
    std::vector<std::string> words;
    for (const Flag& flag : flags) words.push_back(Described(flag.name, flag.description));
    return absl::StrJoin(words, " ");
  };
  std::vector<std::string> names, all;
  for (const CommandWords& command : commands) {
    names.push_back(command.name);
    all.push_back(Described(command.name, command.description));
  }
  std::string flag_cases, first_cases, value_cases;
  for (const CommandWords& command : commands) {
    absl::StrAppendFormat(&flag_cases, "    (%s) flags=(%s) ;;\n", command.name,
                          described(command.flags));
    std::string first = absl::StrJoin(command.values, " ");
    if (command.takes_job_id) first = "${(f)\"$(_tao_inference_job_ids)\"}";
    absl::StrAppendFormat(&first_cases, "    (%s) values=(%s) ;;\n", command.name, first);
    for (const Flag& flag : command.flags) {
      if (!flag.takes_value) continue;
      std::string action = "_files; return";
      if (flag.is_job_id) action = "compadd -- ${(f)\"$(_tao_inference_job_ids)\"}; return";
      if (!flag.values.empty())
        action = "compadd -- " + absl::StrJoin(flag.values, " ") + "; return";
      absl::StrAppendFormat(&value_cases, "    (%s) %s ;;\n",
                            Quoted(command.name + " " + flag.name), action);
    }
  }
  return absl::StrFormat(
      R"(#compdef tao-inference
# Completes tao-inference in zsh: source <(tao-inference completion zsh), after compinit.
_tao_inference_job_ids() {
  tao-inference list 2>/dev/null | while read -r job_id rest; do
    [[ $job_id != JOB ]] && print -r -- $job_id
  done
}
_tao_inference() {
  local command= word
  local -a commands flags values
  commands=(%s)
  flags=(%s)
  for word in ${words[2,CURRENT-1]}; do
    case $word in
      (%s) command=$word; break ;;
    esac
  done
  case "$command ${words[CURRENT-1]}" in
%s  esac
  case $command in
%s  esac
  case $command in
%s  esac
  if [[ ${words[CURRENT]} == -* ]]; then
    _describe -o flag flags
  elif [[ -z $command ]]; then
    _describe command commands
  elif (( $#values )); then
    compadd -- $values
  else
    _files
  fi
}
compdef _tao_inference tao-inference
)",
      absl::StrJoin(all, " "), described(own), absl::StrJoin(names, "|"), value_cases, flag_cases,
      first_cases);
}

}  // namespace tao::cli
