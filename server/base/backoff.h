#pragma once

// Waits that grow: `first`, then each `factor` times the last, `longest` at most, each with jitter, so
// that many waiters do not fall into step. The numbers follow gRPC's doc/connection-backoff.md.
// Externally synchronised.

#include <absl/time/time.h>

#include <random>

namespace tao::base {

struct BackoffOptions {
  absl::Duration first = absl::Seconds(1);
  absl::Duration longest = absl::Seconds(10);
  double factor = 1.6;
  double jitter = 0.2;  // each wait is moved by at most this share of it, up or down
};

class Backoff {
 public:
  explicit Backoff(BackoffOptions options, uint32_t seed = std::random_device{}());
  // The next wait, jitter included; never longer than `longest`.
  absl::Duration Next();
  void Reset() { next_ = options_.first; }

 private:
  BackoffOptions options_;
  absl::Duration next_;
  std::minstd_rand random_;
};

}  // namespace tao::base
