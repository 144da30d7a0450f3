#include "gateway/models.h"

#include <absl/container/flat_hash_map.h>
#include <absl/strings/str_format.h>

#include <algorithm>
#include <vector>

#include "gateway/chat/json_writer.h"
#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tao::gateway {
namespace {

using routing::RouteTable;
using routing::Selector;
using routing::SelectorTerm;
using routing::Service;

struct Model {
  std::string_view id;
  const Service* service = nullptr;
};

bool Holds(const SelectorTerm& term, const Service& service) {
  return term.value ==
         (term.kind == SelectorTerm::Kind::kJobId ? service.job_id : service.network_arch);
}

// A name that several services answer to is not an id: a request that used it would be ambiguous.
class UniqueNames {
 public:
  void Add(std::string_view name, const Service& service) {
    const auto [entry, added] = owners_.try_emplace(name, &service);
    if (added) {
      names_.push_back(name);
    } else if (entry->second != &service) {
      entry->second = nullptr;
    }
  }
  void AppendTo(std::vector<Model>& models) const {
    for (const std::string_view name : names_) {
      if (const Service* const owner = owners_.at(name)) models.push_back({name, owner});
    }
  }

 private:
  std::vector<std::string_view> names_;
  absl::flat_hash_map<std::string_view, const Service*> owners_;
};

absl::StatusOr<std::vector<Model>> FindModels(const RouteTable& table, const Selector& scope) {
  std::vector<Model> models;
  UniqueNames names;
  bool found = false;
  for (const Service& service : table.services()) {
    const bool holds = std::all_of(scope.terms.begin(), scope.terms.end(),
                                   [&](const SelectorTerm& term) { return Holds(term, service); });
    if (!holds || service.phase == routing::Phase::kStopped) continue;
    found = true;
    models.push_back({service.job_id, &service});
    if (!routing::IsCandidate(service.phase)) continue;
    names.Add(service.network_arch, service);
    for (const std::string& name : service.served_names) names.Add(name, service);
  }
  if (!found && !scope.empty()) {
    return base::TokenError(base::ErrorToken::kServiceNotFound,
                            absl::StrFormat("no service is %s; GET /v1/models lists all of them",
                                            routing::Describe(scope)),
                            {.param = std::string(scope.terms.front().source)});
  }
  names.AppendTo(models);
  return models;
}

void AppendModel(std::string& out, const Model& model) {
  const Service& service = *model.service;
  const bool started = service.started_at != absl::InfinitePast();
  out += '{';
  chat::AppendJsonMember(out, "id", model.id);
  chat::AppendJsonMember(out, "object", "model");
  out += ",\"created\":" + std::to_string(started ? absl::ToUnixSeconds(service.started_at) : 0);
  chat::AppendJsonMember(out, "owned_by", "tao");
  chat::AppendJsonMember(out, "job_id", service.job_id);
  chat::AppendJsonMember(out, "network_arch", service.network_arch);
  chat::AppendJsonMember(out, "platform", service.platform);
  chat::AppendJsonMember(out, "phase", routing::ToString(service.phase));
  out += '}';
}

}  // namespace

absl::StatusOr<std::string> ModelList(const RouteTable& table, const Selector& scope) {
  ASSIGN_OR_RETURN(const std::vector<Model> models, FindModels(table, scope));
  std::string out = R"({"object":"list","data":[)";
  for (const Model& model : models) {
    if (out.back() != '[') out += ',';
    AppendModel(out, model);
  }
  out += "]}";
  return out;
}

absl::StatusOr<std::string> ModelEntry(const RouteTable& table, const Selector& scope,
                                       std::string_view id) {
  ASSIGN_OR_RETURN(const std::vector<Model> models, FindModels(table, scope));
  for (const Model& model : models) {
    if (model.id != id) continue;
    std::string out;
    AppendModel(out, model);
    return out;
  }
  return base::TokenError(
      base::ErrorToken::kModelNotFound,
      absl::StrFormat(
          "no service is called %s, or several are; GET /v1/models lists the names that "
          "mean one service",
          base::Quoted(id)),
      {.param = "model"});
}

}  // namespace tao::gateway
