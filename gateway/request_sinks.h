#pragma once

// Who listens to a request's body: the keys that route it, and the check of its contract. One sink
// for both, without a second virtual call for each event. Externally synchronised.

#include <absl/status/status.h>

#include <string_view>

#include "gateway/chat/routing_keys.h"
#include "server/base/body_sink.h"
#include "server/contract/body_check.h"

namespace tao::gateway {

class RequestSinks final : public base::BodySink {
 public:
  RequestSinks(const contract::Contracts* contracts, const contract::SecretAutomaton* secrets)
      : check(contracts, secrets) {}

  absl::Status OnObjectBegin() override {
    return Both(keys.OnObjectBegin(), check.OnObjectBegin());
  }
  absl::Status OnObjectEnd() override { return Both(keys.OnObjectEnd(), check.OnObjectEnd()); }
  absl::Status OnArrayBegin() override { return Both(keys.OnArrayBegin(), check.OnArrayBegin()); }
  absl::Status OnArrayEnd() override { return Both(keys.OnArrayEnd(), check.OnArrayEnd()); }
  absl::Status OnKey(std::string_view key) override {
    return Both(keys.OnKey(key), check.OnKey(key));
  }
  absl::Status OnStringPiece(std::string_view piece, bool last) override {
    return Both(keys.OnStringPiece(piece, last), check.OnStringPiece(piece, last));
  }
  absl::Status OnNumber(std::string_view text) override {
    return Both(keys.OnNumber(text), check.OnNumber(text));
  }
  absl::Status OnBool(bool value) override { return Both(keys.OnBool(value), check.OnBool(value)); }
  absl::Status OnNull() override { return Both(keys.OnNull(), check.OnNull()); }

  chat::RoutingKeys keys;
  contract::BodyCheck check;

 private:
  // An error of the check comes first: it may be that a secret must not be quoted.
  static absl::Status Both(absl::Status keys, absl::Status check) {
    return check.ok() ? keys : check;
  }
};

}  // namespace tao::gateway
