#include "server/base/backoff.h"

#include <algorithm>

namespace tao::base {

Backoff::Backoff(BackoffOptions options, uint32_t seed)
    : options_(options), next_(options.first), random_(seed) {}

absl::Duration Backoff::Next() {
  std::uniform_real_distribution<double> share(1 - options_.jitter, 1 + options_.jitter);
  const absl::Duration wait = std::min(next_ * share(random_), options_.longest);
  next_ = std::min(next_ * options_.factor, options_.longest);
  return wait;
}

}  // namespace tao::base
