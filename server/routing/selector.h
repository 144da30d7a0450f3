#pragma once

// What a request says about where it wants to go.

#include <string>
#include <string_view>
#include <vector>

namespace tao::routing {

// One thing that the request said, in the order: path, header, query, body.
struct SelectorTerm {
  enum class Kind {
    kJobId,        // /services/{job_id}/..., X-TAO-Job-ID, ?job_id=, gRPC selector.job_id
    kNetworkArch,  // /archs/{network_arch}/..., X-TAO-Network-Arch, ?network_arch=,
                   // selector.network_arch
    kModel,        // the body's `model`: a job_id, a network_arch, or a served name
  };
  Kind kind = Kind::kModel;
  std::string value;
  std::string_view
      source;  // for messages and `param`: "path", "header X-TAO-Job-ID", "model", ... (static)
};

std::string_view ToString(SelectorTerm::Kind kind);  // "job_id", "network_arch", "model"

// Every term must hold for the service that is chosen; none is stronger.
struct Selector {
  std::vector<SelectorTerm> terms;
  bool empty() const { return terms.empty(); }
};

// "job_id="..." (header X-TAO-Job-ID)": the value quoted and cut, the source unless it says the
// same.
std::string Describe(const SelectorTerm& term);
// "job_id="..." (header X-TAO-Job-ID), model="...""; "nothing" when empty.
std::string Describe(const Selector& selector);

}  // namespace tao::routing
