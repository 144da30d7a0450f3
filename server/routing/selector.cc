#include "server/routing/selector.h"

#include <absl/strings/str_format.h>

#include "server/base/strings.h"

namespace tao::routing {

std::string_view ToString(SelectorTerm::Kind kind) {
  switch (kind) {
    case SelectorTerm::Kind::kJobId:
      return "job_id";
    case SelectorTerm::Kind::kNetworkArch:
      return "network_arch";
    case SelectorTerm::Kind::kModel:
      return "model";
  }
  return "unknown";
}

std::string Describe(const SelectorTerm& term) {
  const std::string_view kind = ToString(term.kind);
  std::string text = absl::StrFormat("%s=%s", kind, base::Quoted(term.value));
  if (term.source != kind && !term.source.empty()) text += absl::StrFormat(" (%s)", term.source);
  return text;
}

std::string Describe(const Selector& selector) {
  if (selector.empty()) return "nothing";
  std::string text;
  for (const SelectorTerm& term : selector.terms) {
    if (!text.empty()) text += ", ";
    text += Describe(term);
  }
  return text;
}

}  // namespace tao::routing
