#include "gateway/request_routing.h"

#include <absl/strings/str_format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "server/base/errors.h"
#include "server/base/strings.h"

namespace tao::gateway {
namespace {

using base::ErrorToken;
using routing::SelectorTerm;

// Whether a `model` in the body could still make one service of the head's selectors: they name
// several, or an arch whose services are none that would be chosen unasked.
bool MayBeMended(const absl::Status& error, const routing::RouteTable& table,
                 const routing::Selector& selector) {
  const std::optional<ErrorToken> token = base::TokenOf(error);
  if (token == ErrorToken::kAmbiguousService) return true;
  if (token != ErrorToken::kServiceNotFound) return false;
  return std::all_of(selector.terms.begin(), selector.terms.end(), [&](const SelectorTerm& term) {
    return term.kind == SelectorTerm::Kind::kNetworkArch && table.WithArch(term.value) != nullptr;
  });
}

// The part of the request that a head's term stood in. Sources are static texts.
std::string_view PartOf(const SelectorTerm& term) {
  if (term.source.starts_with("header")) return "header";
  if (term.source.starts_with("query")) return "query";
  if (term.source.starts_with("selector.")) return "api";
  return term.source;
}

// Of terms that all hold for the service: a job_id, which names it alone, else the first.
std::string_view Deciding(const routing::Selector& selector) {
  if (selector.empty()) return "none";
  const auto job_id = std::find_if(
      selector.terms.begin(), selector.terms.end(),
      [](const SelectorTerm& term) { return term.kind == SelectorTerm::Kind::kJobId; });
  return PartOf(job_id != selector.terms.end() ? *job_id : selector.terms.front());
}

}  // namespace

RequestRouting::RequestRouting(const routing::RouteTable& table, routing::Selector selector,
                               const BodyRules& rules)
    : table_(&table),
      selector_(std::move(selector)),
      strict_(rules.strict),
      sinks_(rules.contracts, rules.secrets),
      scanner_(sinks_) {}

absl::Status RequestRouting::OnHead() {
  if (selector_.empty()) return absl::OkStatus();
  const absl::StatusOr<const routing::Service*> found = routing::Resolve(*table_, selector_);
  if (found.ok()) {
    service_ = *found;
    chosen_by_ = Deciding(selector_);
    DecideArch();
    return absl::OkStatus();
  }
  return MayBeMended(found.status(), *table_, selector_) ? absl::OkStatus() : found.status();
}

absl::Status RequestRouting::Feed(std::string_view piece) {
  absl::Status scanned = scanner_.Feed(piece);
  if (!scanned.ok()) return scanned;
  if (model_known_ || !keys().model().has_value()) return absl::OkStatus();
  model_known_ = true;
  selector_.terms.push_back({SelectorTerm::Kind::kModel, *keys().model(), "model"});
  return ResolveAgain();
}

absl::Status RequestRouting::Finish() {
  absl::Status whole = scanner_.Finish();
  if (whole.ok() && service_ == nullptr) whole = ResolveAgain();
  return whole.ok() ? sinks_.check.Verdict(strict_) : whole;
}

// From here on the body is judged for this arch alone. Whoever brought the service up knows best
// what it takes: others' services have no contract.
void RequestRouting::DecideArch() {
  sinks_.check.Decide(service_->foreign ? std::string_view() : service_->network_arch);
}

absl::Status RequestRouting::ResolveAgain() {
  const absl::StatusOr<const routing::Service*> found = routing::Resolve(*table_, selector_);
  if (!found.ok()) return found.status();
  if (committed_ && *found != service_) {
    return base::TokenError(
        ErrorToken::kSelectorConflict,
        absl::StrFormat(
            "the request was routed to service %s before its body named model %s, which "
            "is service %s; name that one in the X-TAO-Job-ID header or the path",
            service_->job_id, base::Quoted(*keys().model()), (*found)->job_id),
        {.param = "model"});
  }
  if (*found != service_) chosen_by_ = model_known_ ? "model" : "none";
  service_ = *found;
  DecideArch();
  return absl::OkStatus();
}

}  // namespace tao::gateway
