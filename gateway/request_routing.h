#pragma once

// Judges one request while it arrives: which service it is for, and whether its body may go there
// (server/contract).
// Pure: no I/O; the same for HTTP and gRPC. Externally synchronised.

#include <absl/status/status.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/chat/body_scanner.h"
#include "gateway/chat/routing_keys.h"
#include "gateway/request_sinks.h"
#include "server/routing/resolver.h"
#include "server/routing/route_table.h"
#include "server/routing/selector.h"

namespace tao::gateway {

// What a body is held to.
struct BodyRules {
  const contract::Contracts* contracts = nullptr;      // null: no contract
  const contract::SecretAutomaton* secrets = nullptr;  // null: none is known
  bool strict = false;                                 // notices are findings
};

class RequestRouting {
 public:
  // `table`, and what `rules` point to, outlive this. `selector` holds what the head says, without
  // the body's `model`.
  RequestRouting(const routing::RouteTable& table, routing::Selector selector,
                 const BodyRules& rules = {});
  RequestRouting(const RequestRouting&) = delete;
  RequestRouting& operator=(const RequestRouting&) = delete;

  // Decides by the head alone, where that is possible. Errors: what no body could mend.
  absl::Status OnHead();

  // The next bytes of the body; Finish after the last. Errors are final: the scanner's verdict,
  // secret_in_body, selector_conflict when `model` means another service; at the end
  // contract_violation.
  absl::Status Feed(std::string_view piece);
  absl::Status Finish();

  // The service that the request is for, as far as it is known; null while the body must tell.
  const routing::Service* service() const { return service_; }

  // What chose it: "path", "header", "query", "api" or "model"; "none" when it was the only one.
  // Empty while it is not known.
  std::string_view chosen_by() const { return chosen_by_; }

  // From now on the service does not change: bytes were sent to it. A `model` that comes later and
  // means another one is a conflict.
  void Commit() { committed_ = true; }

  // Goes on with a newer table, which outlives this too, and has the chosen service as `service`.
  // Not after Commit.
  void Rebind(const routing::RouteTable& table, const routing::Service& service) {
    table_ = &table;
    service_ = &service;
  }

  const chat::RoutingKeys& keys() const { return sinks_.keys; }

  // After Finish: what the client should be told of a request that may run, in lines.
  std::vector<std::string> NoticeLines() const { return sinks_.check.NoticeLines(); }

 private:
  absl::Status ResolveAgain();
  void DecideArch();

  const routing::RouteTable* table_;
  routing::Selector selector_;
  const bool strict_;
  RequestSinks sinks_;
  chat::BodyScanner scanner_;
  const routing::Service* service_ = nullptr;
  std::string_view chosen_by_;
  bool model_known_ = false;
  bool committed_ = false;
};

}  // namespace tao::gateway
