// What Lepton's refusals mean, and what to do about each.

#include <absl/strings/str_format.h>

#include <nlohmann/json.hpp>

#include "server/base/secret.h"
#include "server/base/strings.h"
#include "server/platforms/lepton/lepton_parse.h"

namespace tao::platforms {
namespace {

constexpr size_t kMaxWords = 600;  // of Lepton, in one of our errors

// {"code":"...","message":"..."}, or what a proxy on the way says.
std::string MessageOf(std::string_view body) {
  const auto json = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  std::string words(body);
  if (json.is_object()) {
    for (const char* const name : {"message", "error", "code"}) {
      const auto found = json.find(name);
      if (found == json.end() || !found->is_string()) continue;
      words = found->get<std::string>();
      break;
    }
  }
  words = base::Redact(std::move(words));
  for (char& c : words) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  while (!words.empty() && (words.back() == '.' || words.back() == ' ')) words.pop_back();
  if (words.size() > kMaxWords) words = words.substr(0, kMaxWords) + "...";
  if (!base::IsValidUtf8(words)) words = base::Quoted(words, kMaxWords);
  return words;
}

bool Matches(const LeptonFailureRule& rule, int status, const std::string& words,
             LeptonSubject subject) {
  const bool class_only = rule.status == 300 || rule.status == 500;
  if (rule.status != 0 && (class_only ? status / 100 * 100 : status) != rule.status) return false;
  if (rule.subject != LeptonSubject::kOther && rule.subject != subject) return false;
  return words.find(rule.text) != std::string::npos;
}

}  // namespace

const std::vector<LeptonFailureRule>& LeptonFailureRules() {
  using absl::StatusCode;
  constexpr LeptonSubject kAny = LeptonSubject::kOther;
  // The first that matches counts.
  static const auto* const rules = new std::vector<LeptonFailureRule>{
      {300, "", kAny, StatusCode::kFailedPrecondition,
       "The address is not the API's own. Check LEPTON_API_BASE_URL and LEPTON_WORKSPACE_URL, or "
       "unset them"},
      {0, "unsupported resource shape", kAny, StatusCode::kInvalidArgument,
       "Choose another --resource-shape; tao-inference check --platform lepton says what there "
       "is"},
      {0, "exceeds quota", kAny, StatusCode::kResourceExhausted,
       "Choose a smaller --resource-shape, stop something else in the workspace, or ask its "
       "administrator for more"},
      {400, "invalid deployment spec", kAny, StatusCode::kInvalidArgument,
       "Most often the --resource-shape or the --dedicated-node-group does not fit; "
       "tao-inference check --platform lepton says what there is"},
      {400, "", kAny, StatusCode::kInvalidArgument,
       "See what it names: the --resource-shape, the --dedicated-node-group, or the quota of the "
       "workspace"},
      {401, "", kAny, StatusCode::kUnauthenticated,
       "The token is wrong or has expired (one lives for a day unless told otherwise). Make a new "
       "one in the console of DGX Cloud Lepton, export LEPTON_AUTH_TOKEN=... and restart the "
       "server; services run on meanwhile"},
      {403, "api is not enabled", kAny, StatusCode::kPermissionDenied,
       "The workspace has changed to the other of Lepton's two APIs. Restart the server, which "
       "asks again; a service of before is stopped in the console"},
      {403, "", kAny, StatusCode::kPermissionDenied,
       "The token may not use this workspace. Check LEPTON_WORKSPACE_ID, or ask the workspace's "
       "administrator for access"},
      {404, "", LeptonSubject::kWorkspace, StatusCode::kFailedPrecondition,
       "There is no workspace of this id. Check LEPTON_WORKSPACE_ID (the console shows it); one "
       "that was just made takes about 10 minutes"},
      {404, "", kAny, StatusCode::kNotFound,
       "It is not there, or not any more. See what the console shows of the workspace"},
      {409, "", LeptonSubject::kImagePullSecret, StatusCode::kAlreadyExists, ""},
      {409, "", kAny, StatusCode::kAlreadyExists,
       "Something of this name is there that this server did not start, or that Lepton still "
       "deletes. Remove it in the console, and start the service again"},
      {429, "", kAny, StatusCode::kUnavailable,
       "Lepton was asked too often. Try again in a minute; see who else uses the token"},
      {500, "", kAny, StatusCode::kUnavailable,
       "Lepton has trouble of its own. Try again in a minute; if it stays, ask its support"},
      {0, "", kAny, StatusCode::kUnavailable,
       "This is no answer that Lepton's API gives. Check LEPTON_API_BASE_URL and "
       "LEPTON_WORKSPACE_URL, and what is between"},
  };
  return *rules;
}

absl::Status LeptonError(std::string_view what, int status, std::string_view body,
                         LeptonSubject subject) {
  const std::string words = MessageOf(body);
  const std::string lower = base::AsciiLower(words);
  for (const LeptonFailureRule& rule : LeptonFailureRules()) {
    if (!Matches(rule, status, lower, subject)) continue;
    return absl::Status(rule.code, absl::StrFormat("%s: Lepton answers %d%s%s%s%s", what, status,
                                                   words.empty() ? "" : ": ", words,
                                                   rule.advice.empty() ? "" : ". ", rule.advice));
  }
  return absl::UnknownError(absl::StrFormat("%s: Lepton answers %d", what, status));
}

}  // namespace tao::platforms
