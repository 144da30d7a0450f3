// The table of brev's failures, and the errors that are made from it (brev_parse.h).

#include <absl/strings/ascii.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include <cctype>

#include "server/base/secret.h"
#include "server/base/strings.h"
#include "server/platforms/brev/brev_parse.h"
#include "server/platforms/docker/docker_parse.h"

namespace tao::platforms {
namespace {

constexpr size_t kMaxWords = 600;  // of brev, in one of our errors

bool IsWordByte(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

bool Holds(std::string_view lower, const BrevFailureRule& rule) {
  for (size_t at = lower.find(rule.text); at != std::string_view::npos;
       at = lower.find(rule.text, at + 1)) {
    const size_t end = at + rule.text.size();
    const bool apart =
        (at == 0 || !IsWordByte(lower[at - 1])) && (end == lower.size() || !IsWordByte(lower[end]));
    if (!rule.whole_word || apart) return true;
  }
  return false;
}

const BrevFailureRule* RuleFor(std::string_view words) {
  const std::string lower = base::AsciiLower(words);
  for (const BrevFailureRule& rule : BrevFailureRules()) {
    if (Holds(lower, rule)) return &rule;
  }
  return nullptr;
}

// On one line, without colours and other controls.
std::string OneLine(std::string_view words) {
  std::string plain;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == '\x1b' && i + 1 < words.size() && words[i + 1] == '[') {
      while (i < words.size() && std::isalpha(static_cast<unsigned char>(words[i])) == 0) ++i;
      continue;
    }
    plain += words[i];
  }
  std::string line;
  for (absl::string_view part : absl::StrSplit(plain, absl::ByAnyChar("\r\n"))) {
    part = absl::StripAsciiWhitespace(part);
    if (part.empty()) continue;
    if (!line.empty()) line += "; ";
    line += base::ToStd(part);
  }
  while (!line.empty() && line.back() == '.') line.pop_back();
  line = base::Redact(std::move(line));
  if (line.size() > kMaxWords) line = line.substr(0, kMaxWords) + "...";
  return line.empty() ? "it said nothing" : line;
}

}  // namespace

const std::vector<BrevFailureRule>& BrevFailureRules() {
  using Code = absl::StatusCode;
  using Kind = BrevFailure;
  constexpr Code kPrecondition = Code::kFailedPrecondition;
  constexpr std::string_view kLogin =
      "brev is not logged in, or its login has expired: as the user of the server run brev login. "
      "Where there is no browser, write ~/.brev/credentials.json (mode 0600, its folder 0700) with "
      "{\"access_token\":\"auto-login\",\"refresh_token\":\"TOKEN\"}, TOKEN being the value of "
      "BREV_API_TOKEN (one that begins with eyJ is the access_token, and auto-login the "
      "refresh_token): brev does not read that variable, and brev login --token would show it to "
      "every user of this host";
  constexpr std::string_view kBooting =
      "An instance that was just made or started takes minutes until it answers by ssh";
  constexpr std::string_view kOurFault = "This is a fault of the server: please report it";
  constexpr std::string_view kOtherType =
      "Choose another type (brev search) with --instance-type, or leave it out";
  // The first row that fits wins: what names one cause stands before what may have many.
  static const auto* const rules = new std::vector<BrevFailureRule>{
      {"currently logged out", Kind::kLoggedOut, kPrecondition, kLogin},
      {"ssh connection failed and could not look up instance", Kind::kOther, kPrecondition,
       "brev knows no such instance, or is not logged in: see brev ls"},
      {"could not look up instance", Kind::kOther, Code::kInternal, kOurFault},
      {"ssh: illegal option", Kind::kOther, Code::kInternal, kOurFault},
      {"multiple instances found with id/name", Kind::kOther, kPrecondition,
       "Name the instance by its id (brev ls --json)"},
      {"is a failed workspace", Kind::kOther, kPrecondition,
       "Name the instance by its id (brev ls --json), or delete it"},
      {"instance with id/name", Kind::kNotFound, Code::kNotFound,
       "See brev ls, and which organisation is active (brev ls orgs)"},
      {"please check with: brev ls", Kind::kOther, kPrecondition,
       "The instance does not run: brev start starts it, and it costs money from then on"},
      {"does not support stop", Kind::kOther, kPrecondition,
       "Instances of this type can only be deleted (brev delete)"},
      {"could not connect to instance", Kind::kOther, Code::kUnavailable,
       "Its ssh does not answer yet, or does not take the key: wait, and run brev refresh"},
      {"is not a recognized type", Kind::kOther, kPrecondition, kOtherType},
      {"invalid or unavailable", Kind::kOther, kPrecondition, kOtherType},
      {"could not resolve workspace group for", Kind::kOther, Code::kUnavailable,
       "brev could not place it just now: start the service again"},
      {"could only create 0/", Kind::kOther, Code::kResourceExhausted,
       "No provider had such an instance: try again later, or choose another type (brev search) "
       "with --instance-type"},
      {"timeout waiting for ready state", Kind::kOther, Code::kUnavailable, kBooting},
      {"ssh key not found at", Kind::kOther, kPrecondition,
       "As the user of the server run brev login and brev refresh once"},
      {"unknown flag:", Kind::kOther, kPrecondition,
       "This brev has other flags than the server expects: see brev --version, and upgrade it"},
      {"could not resolve hostname", Kind::kOther, kPrecondition,
       "ssh has no entry for the instance: it does not run, or ~/.brev/ssh_config is old (brev "
       "refresh) or of another HOME than the server's"},
      {"can't open user config file", Kind::kOther, kPrecondition,
       "brev refresh was never run with the server's HOME: run it as the user of the server"},
      {"permission denied (publickey", Kind::kOther, kPrecondition,
       "The instance does not take the key ~/.brev/brev.pem: run brev refresh"},
      {"connection refused", Kind::kOther, Code::kUnavailable, kBooting},
      {"operation timed out", Kind::kOther, Code::kUnavailable, kBooting},
      {"connection timed out", Kind::kOther, Code::kUnavailable, kBooting},
      {"no such host", Kind::kOther, Code::kUnavailable,
       "brev's own service cannot be reached: check the network and DNS of this host"},
      {"unexpected eof", Kind::kOther, Code::kUnavailable,
       "The connection to brev's service broke: try again"},
      {"401", Kind::kLoggedOut, kPrecondition, kLogin, /*whole_word=*/true},
      {"eof", Kind::kLoggedOut, kPrecondition, kLogin, /*whole_word=*/true},
  };
  return *rules;
}

BrevFailure BrevFailureOf(std::string_view words) {
  const BrevFailureRule* const rule = RuleFor(words);
  return rule == nullptr ? BrevFailure::kOther : rule->kind;
}

absl::Status BrevError(std::string_view what, std::string_view words) {
  const BrevFailureRule* const rule = RuleFor(words);
  const std::string text = absl::StrFormat("%s: %s", what, OneLine(words));
  // Its only exit codes are 0 and 1: what is not known may be anything, also a moment's trouble.
  if (rule == nullptr) return absl::UnavailableError(text);
  return absl::Status(rule->code, absl::StrFormat("%s. %s", text, rule->advice));
}

absl::Status InstanceSshError(std::string_view instance, const absl::Status& error) {
  if (error.ok() || absl::IsCancelled(error)) return error;
  const std::string name = base::Quoted(instance);
  if (absl::IsNotFound(error)) {
    return absl::FailedPreconditionError(
        "brev needs the program ssh, and it is not in the server's PATH. Install it (Debian: "
        "apt-get install openssh-client)");
  }
  const std::string_view words = base::ToStd(error.message());
  const BrevFailureRule* const rule = RuleFor(words);
  if (rule == nullptr || rule->kind == BrevFailure::kLoggedOut) {
    return absl::Status(error.code(), absl::StrFormat("instance %s: %s", name, words));
  }
  // Of ssh's own words no more than those: the rest is advice for other hosts.
  const std::string_view cause = words.substr(base::AsciiLower(words).find(rule->text));
  return absl::Status(rule->code,
                      absl::StrFormat("instance %s cannot be asked by ssh: %s. %s", name,
                                      OneLine(cause.substr(0, cause.find('"'))), rule->advice));
}

absl::Status InstanceDockerError(std::string_view instance, std::string_view what, int exit_code,
                                 std::string_view words) {
  const std::string on = absl::StrFormat("on instance %s: %s", base::Quoted(instance), what);
  const absl::Status status = DockerError(on, exit_code, words);
  if (!absl::IsPermissionDenied(status)) return status;
  return absl::PermissionDeniedError(absl::StrFormat(
      "%s: %s (exit code %d of docker). The registry refused: export NGC_KEY=... where the server "
      "starts, with a key whose organisation may pull the image",
      on, OneLine(words), exit_code));
}

}  // namespace tao::platforms
