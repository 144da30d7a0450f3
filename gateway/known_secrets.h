#pragma once

// The daemon's secrets as a worker looks for them. They are few and seldom become more (a service's
// token), so each worker has its own automaton, and asks without a lock whether it is still the
// newest. Worker thread only.

#include <cstdint>
#include <memory>

#include "server/base/known_secrets.h"
#include "server/contract/secret_automaton.h"

namespace tao::gateway {

class KnownSecrets {
 public:
  // Null when there is none that is long enough to be looked for.
  const std::shared_ptr<const contract::SecretAutomaton>& Current() {
    // Read first: a value that is added meanwhile makes the next call build again.
    const uint64_t newest = base::KnownSecretsGeneration();
    if (newest != generation_) {
      automaton_ = contract::SecretAutomaton::Build(base::KnownSecrets());
      generation_ = newest;
    }
    return automaton_;
  }

 private:
  uint64_t generation_ = 0;  // no value is known then
  std::shared_ptr<const contract::SecretAutomaton> automaton_;
};

}  // namespace tao::gateway
