#include "gateway/request_schema.h"

#include <absl/strings/str_format.h>

#include <algorithm>
#include <vector>

#include "gateway/http_error.h"
#include "server/base/closest_name.h"
#include "server/base/errors.h"
#include "server/base/strings.h"

namespace tao::gateway {
namespace {

using routing::SelectorTerm;
using Kind = SelectorTerm::Kind;

absl::Status NoSuchService(const routing::Selector& scope, const SelectorTerm& term) {
  return base::TokenError(base::ErrorToken::kServiceNotFound,
                          absl::StrFormat("no service is %s; GET /v1/models lists all of them, and "
                                          "/archs/{network_arch}/schema needs none",
                                          routing::Describe(scope)),
                          {.param = std::string(term.source)});
}

}  // namespace

absl::StatusOr<std::string> RequestSchema(const routing::RouteTable& table,
                                          const routing::Selector& scope,
                                          const RequestSchemas& schemas) {
  std::string_view arch;
  for (const SelectorTerm& term : scope.terms) {
    std::string_view means = term.value;
    if (term.kind == Kind::kJobId) {
      const routing::Service* const service = table.Find(term.value);
      if (service == nullptr) return NoSuchService(scope, term);
      means = service->network_arch;
    }
    if (arch.empty()) arch = means;
    if (means != arch) {
      return base::TokenError(base::ErrorToken::kSelectorConflict,
                              absl::StrFormat("%s are not of one network_arch; name one of them",
                                              routing::Describe(scope)),
                              {.param = std::string(term.source)});
    }
  }
  const auto found = schemas.find(arch);
  if (found != schemas.end()) return found->second;
  std::vector<std::string> known;
  for (const auto& [name, schema] : schemas) known.push_back(name);
  return HttpError(404, absl::StrFormat("no request schema is known for network_arch %s%s; there "
                                        "is one for %s",
                                        base::Quoted(arch), base::DidYouMean(arch, known),
                                        base::JoinedList(known)));
}

}  // namespace tao::gateway
