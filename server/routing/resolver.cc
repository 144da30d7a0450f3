#include "server/routing/resolver.h"

#include <absl/strings/str_format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/strings.h"

namespace tao::routing {
namespace {

using Kind = SelectorTerm::Kind;
using Services = std::vector<const Service*>;

constexpr std::string_view kStartOne = "start a service first (tao-inference start)";
constexpr std::string_view kListThem = "tao-inference list shows what there is";

// What one term means in one table.
struct Meaning {
  enum class As { kNothing, kJobId, kNetworkArch, kServedName };
  As as = As::kNothing;
  const SelectorTerm* term = nullptr;
  Services services;  // that it holds for, oldest first
};

Meaning MeaningOf(const RouteTable& table, const SelectorTerm& term) {
  using As = Meaning::As;
  if (term.kind != Kind::kNetworkArch) {
    if (const Service* service = table.Find(term.value); service != nullptr) {
      return {As::kJobId, &term, {service}};
    }
  }
  if (term.kind != Kind::kJobId) {
    if (const Services* services = table.WithArch(term.value); services != nullptr) {
      return {As::kNetworkArch, &term, *services};
    }
  }
  if (term.kind == Kind::kModel) {
    if (const Services* services = table.WithServedName(term.value); services != nullptr) {
      return {As::kServedName, &term, *services};
    }
  }
  return {As::kNothing, &term, {}};
}

bool Holds(const Meaning& meaning, const Service* service) {
  return std::find(meaning.services.begin(), meaning.services.end(), service) !=
         meaning.services.end();
}

// Entries of the registry file are other tools' words: what is listed of them is cut.
std::string Cut(const std::string& text, size_t max_bytes) {
  return text.size() <= max_bytes ? text : text.substr(0, max_bytes) + "...";
}

base::ErrorDetails DetailsOf(const Services& listed, std::string_view param) {
  base::ErrorDetails details;
  details.param = std::string(param);
  details.candidate_count = static_cast<int>(listed.size());
  for (const Service* service : listed) {
    if (details.candidates.size() == base::kMaxListed) break;
    details.candidates.push_back(
        {Cut(service->job_id, 64), Cut(service->network_arch, 64),
         service->started_at == absl::InfinitePast() ? "" : base::FormatUtc(service->started_at),
         Cut(service->host_url, 128)});
  }
  return details;
}

// "JOB_ID (ARCH, PHASE, started_at ..., host_url); ..." of the first candidates, with the total.
std::string ListOf(const base::ErrorDetails& details, const Services& all) {
  std::string text;
  for (size_t i = 0; i < details.candidates.size(); ++i) {
    const base::ErrorCandidate& candidate = details.candidates[i];
    if (i > 0) text += "; ";
    text += absl::StrFormat("%s (%s, %s", candidate.job_id, candidate.network_arch,
                            ToString(all[i]->phase));
    if (!candidate.started_at.empty()) text += ", started " + candidate.started_at;
    if (!candidate.host_url.empty()) text += ", " + candidate.host_url;
    text += ")";
  }
  if (all.size() > details.candidates.size()) {
    text +=
        absl::StrFormat("; and %d more of %d", all.size() - details.candidates.size(), all.size());
  }
  return text;
}

// The source of the term that an error is about, for `param`.
std::string_view ParamOf(const Selector& selector) {
  return selector.empty() ? "" : selector.terms.back().source;
}

absl::Status UnknownJobIdError(const RouteTable& table, const SelectorTerm& term) {
  return base::TokenError(
      base::ErrorToken::kServiceNotFound,
      absl::StrFormat("no service has %s: it was stopped, or never started; %s", Describe(term),
                      table.services().empty() ? kStartOne : kListThem),
      {.param = std::string(term.source)});
}

absl::Status UnknownArchError(const RouteTable& table, const SelectorTerm& term) {
  return base::TokenError(base::ErrorToken::kServiceNotFound,
                          absl::StrFormat("no service has %s; %s", Describe(term),
                                          table.services().empty() ? kStartOne : kListThem),
                          {.param = std::string(term.source)});
}

absl::Status UnknownModelError(const RouteTable& table, const SelectorTerm& term) {
  return base::TokenError(
      base::ErrorToken::kModelNotFound,
      absl::StrFormat(
          "%s is no job_id, network_arch or served name of a service; %s", Describe(term),
          table.services().empty() ? kStartOne : "GET /v1/models shows what `model` may say"),
      {.param = std::string(term.source)});
}

absl::Status AmbiguousError(const Selector& selector, const Services& candidates) {
  const base::ErrorDetails details = DetailsOf(candidates, ParamOf(selector));
  return base::TokenError(
      base::ErrorToken::kAmbiguousService,
      absl::StrFormat("%d services match %s; name one by job_id: header X-TAO-Job-ID, path "
                      "/services/{job_id}/v1, or \"model\": \"<job_id>\". They are: %s",
                      candidates.size(),
                      selector.empty() ? "a request that names none" : Describe(selector),
                      ListOf(details, candidates)),
      details);
}

// There are services that all terms hold for, and none of them can take a request.
absl::Status NoCandidateError(const Selector& selector, const Services& matching) {
  const base::ErrorDetails details = DetailsOf(matching, ParamOf(selector));
  return base::TokenError(
      base::ErrorToken::kServiceNotFound,
      absl::StrFormat("no running service matches %s; wait until one is STARTING "
                      "(tao-inference watch JOB_ID), or %s. There are: %s",
                      selector.empty() ? "a request that names none" : Describe(selector),
                      kStartOne, ListOf(details, matching)),
      details);
}

absl::Status SameKindConflict(const SelectorTerm& a, const SelectorTerm& b) {
  return base::TokenError(
      base::ErrorToken::kSelectorConflict,
      absl::StrFormat("the request says both %s and %s, and no service is both; send only one of "
                      "them",
                      Describe(a), Describe(b)),
      {.param = std::string(b.source)});
}

// `named` is the service of a job_id, and `other` does not hold for it.
absl::Status JobConflict(const Meaning& named, const SelectorTerm& other) {
  const Services& service = named.services;
  const base::ErrorDetails details = DetailsOf(service, other.source);
  return base::TokenError(
      base::ErrorToken::kSelectorConflict,
      absl::StrFormat("%s does not hold for the service that %s names, which is %s; leave out the "
                      "one that is not meant",
                      Describe(other), Describe(*named.term), ListOf(details, service)),
      details);
}

absl::Status NothingInCommonConflict(const Selector& selector) {
  return base::TokenError(
      base::ErrorToken::kSelectorConflict,
      absl::StrFormat("no service is all of %s; leave out what is not meant, or name one service "
                      "by its job_id",
                      Describe(selector)),
      {.param = std::string(ParamOf(selector))});
}

// Exactly one candidate, or why not. `matching` is not empty.
absl::StatusOr<const Service*> ChooseAmong(const Selector& selector, const Services& matching) {
  Services candidates;
  for (const Service* service : matching) {
    if (IsCandidate(service->phase)) candidates.push_back(service);
  }
  if (candidates.size() == 1) return candidates.front();
  if (!candidates.empty()) return AmbiguousError(selector, candidates);
  const bool all_failed = std::all_of(matching.begin(), matching.end(), [](const Service* service) {
    return service->phase == Phase::kFailed;
  });
  if (all_failed) return matching.back();  // no request goes there; its reason is the answer
  return NoCandidateError(selector, matching);
}

// Two terms of one kind with different values, if there are such.
std::optional<absl::Status> FindSameKindConflict(const Selector& selector) {
  for (size_t i = 0; i < selector.terms.size(); ++i) {
    for (size_t j = i + 1; j < selector.terms.size(); ++j) {
      const SelectorTerm &a = selector.terms[i], &b = selector.terms[j];
      if (a.kind == b.kind && a.value != b.value) return SameKindConflict(a, b);
    }
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<const Service*> Resolve(const RouteTable& table, const Selector& selector) {
  if (std::optional<absl::Status> conflict = FindSameKindConflict(selector)) return *conflict;

  std::vector<Meaning> meanings;
  for (const SelectorTerm& term : selector.terms) {
    Meaning meaning = MeaningOf(table, term);
    if (meaning.as == Meaning::As::kNothing) {
      if (term.kind == Kind::kJobId) return UnknownJobIdError(table, term);
      if (term.kind == Kind::kModel) {
        if (selector.terms.size() == 1) return UnknownModelError(table, term);
        continue;
      }
    }
    meanings.push_back(std::move(meaning));
  }

  // A job_id names the service; one that a job_id term names comes before one that `model` names.
  const Meaning* named = nullptr;
  for (const Meaning& meaning : meanings) {
    if (meaning.as != Meaning::As::kJobId) continue;
    if (named == nullptr || meaning.term->kind == Kind::kJobId) named = &meaning;
  }
  if (named != nullptr) {
    for (const Meaning& meaning : meanings) {
      if (!Holds(meaning, named->services.front())) return JobConflict(*named, *meaning.term);
    }
    return named->services.front();
  }

  for (const Meaning& meaning : meanings) {
    if (meaning.as == Meaning::As::kNothing) return UnknownArchError(table, *meaning.term);
  }
  Services matching;
  if (meanings.empty()) {
    for (const Service& service : table.services()) matching.push_back(&service);
    if (matching.empty()) {
      return base::TokenError(base::ErrorToken::kServiceNotFound,
                              absl::StrFormat("there is no service; %s", kStartOne));
    }
  } else {
    matching = meanings.front().services;
    for (const Meaning& meaning : meanings) {
      std::erase_if(matching, [&](const Service* service) { return !Holds(meaning, service); });
    }
    if (matching.empty()) return NothingInCommonConflict(selector);
  }
  return ChooseAmong(selector, matching);
}

}  // namespace tao::routing
