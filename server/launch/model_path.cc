#include "server/launch/model_path.h"

#include <absl/strings/str_format.h>

#include <algorithm>

#include "server/base/strings.h"

namespace tao::launch {
namespace {

constexpr size_t kMaxPathBytes = 4096;  // PATH_MAX
constexpr size_t kMaxKeyBytes = 128;
constexpr size_t kMaxHubPartBytes = 96;  // the hub's own limit

bool IsWordChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

bool IsHubPart(std::string_view part) {
  const auto may_be_edge = [](char c) { return c != '.' && c != '-'; };
  return !part.empty() && part.size() <= kMaxHubPartBytes && may_be_edge(part.front()) &&
         may_be_edge(part.back()) && std::all_of(part.begin(), part.end(), IsWordChar) &&
         part.find("..") == std::string_view::npos && part.find("--") == std::string_view::npos;
}

// Whether `name` is <org>/<model> as the hub allows it.
bool IsHubName(std::string_view name) {
  const size_t slash = name.find('/');
  return slash != std::string_view::npos && IsHubPart(name.substr(0, slash)) &&
         IsHubPart(name.substr(slash + 1));
}

// "an absolute path inside the container or hf_model://<org>/<model>"
std::string Accepted(const catalog::Catalog& catalog) {
  std::string text = "an absolute path inside the container";
  for (const std::string& protocol : catalog.accepted_model_protocols()) {
    text += absl::StrFormat(" or %s<org>/<model>", protocol);
  }
  return text;
}

// Why a path with a protocol that is not accepted is refused.
std::string RefusedProtocol(std::string_view path, std::string_view protocol,
                            const catalog::Catalog& catalog) {
  const std::string lower = base::AsciiLower(protocol);
  for (const std::string& accepted : catalog.accepted_model_protocols()) {
    if (lower == accepted) {
      return absl::StrFormat("%s: write the protocol in lower case, %s", base::Quoted(path),
                             accepted);
    }
  }
  for (const catalog::RefusedProtocol& refused : catalog.refused_model_protocols()) {
    if (lower != refused.protocol) continue;
    if (!refused.instead.empty()) {
      return absl::StrFormat(
          "%s: no container knows %s; write %s", base::Quoted(path), protocol,
          base::Quoted(refused.instead + std::string(path.substr(protocol.size()))));
    }
    return absl::StrFormat(
        "%s: containers read no %s storage; copy the model to the host, add a mount "
        "(HOST_DIR:/models/x:ro), and give its path inside the container",
        base::Quoted(path), protocol.substr(0, protocol.size() - 3));
  }
  return absl::StrFormat("%s: the protocol %s is not known; give %s", base::Quoted(path),
                         base::Quoted(protocol), Accepted(catalog));
}

// The hub name of a path with an accepted protocol; empty when it has none.
void ReadPath(const catalog::Catalog& catalog, RequestCheck& check, ModelSource& source) {
  const std::string_view path = source.path;
  if (path.empty()) {
    check.Add("model_path", absl::StrFormat("is required; give %s", Accepted(catalog)));
    return;
  }
  if (!check.AllowsText("model_path", path, kMaxPathBytes) || path[0] == '/') return;

  for (const std::string& protocol : catalog.accepted_model_protocols()) {
    if (!path.starts_with(protocol)) continue;
    source.hub_name = path.substr(protocol.size());
    if (!IsHubName(source.hub_name)) {
      check.Add("model_path",
                absl::StrFormat("%s: after %s must come <org>/<model>, in letters, digits, '.', "
                                "'_' and '-' (no revision, no further path)",
                                base::Quoted(path), protocol));
    }
    return;
  }
  if (const size_t end = path.find("://"); end != std::string_view::npos) {
    check.Add("model_path", RefusedProtocol(path, path.substr(0, end + 3), catalog));
    return;
  }
  std::string advice;
  if (IsHubName(path) && !catalog.accepted_model_protocols().empty()) {
    advice = absl::StrFormat("; for a model of the hub write %s%s",
                             catalog.accepted_model_protocols().front(), path);
  }
  check.Add("model_path", absl::StrFormat("%s is relative; give %s%s", base::Quoted(path),
                                          Accepted(catalog), advice));
}

void ReadKey(const catalog::Arch* arch, RequestCheck& check, const ModelSource& source) {
  const std::string& key = source.key;
  if (!key.empty()) {
    if (!check.AllowsText("model_key", key, kMaxKeyBytes)) return;
    const bool is_word = key[0] != '-' && std::all_of(key.begin(), key.end(), [](char c) {
                           return IsWordChar(c) || c == '/' || c == ':';
                         });
    if (!is_word) {
      check.Add("model_key",
                absl::StrFormat("%s: must be letters, digits, '.', '_', '-', '/' and ':', and not "
                                "begin with '-'",
                                base::Quoted(key)));
      return;
    }
  }
  if (arch == nullptr) return;
  const std::string known =
      arch->model_keys.empty() ? std::string() : ", e.g. " + base::JoinedList(arch->model_keys);
  if (!key.empty() && !arch->takes_model_key()) {
    check.Add("model_key", absl::StrFormat("%s takes no model key; leave it out", arch->name));
  } else if (!key.empty() && !source.path.empty() && source.path[0] == '/') {
    check.Add("model_key",
              "is for a model of the hub; with an absolute path as model_path, leave it out");
  } else if (key.empty() && arch->takes_model_key() && source.on_hub()) {
    // Never derived from the path: several registered models can share one repository.
    check.Add("model_key", absl::StrFormat("is required: %s names a model of the hub by its "
                                           "registered key%s (--model-key)",
                                           arch->name, known));
  }
}

}  // namespace

ModelSource ReadModelSource(const LaunchRequest& request, const catalog::Catalog& catalog,
                            const catalog::Arch* arch, RequestCheck& check) {
  ModelSource source{.path = request.model_path, .hub_name = "", .key = request.model_key};
  ReadPath(catalog, check, source);
  ReadKey(arch, check, source);
  return source;
}

}  // namespace tao::launch
