#pragma once

// A histogram of times with fixed bounds. Externally synchronised.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace tao::gateway {

// Upper bounds, in nanoseconds. Requests take from milliseconds to the half hour of a video; our
// own part is a matter of microseconds.
inline constexpr std::array<int64_t, 16> kDurationBounds = {
    1'000'000,      2'500'000,      5'000'000,       10'000'000,       25'000'000,    50'000'000,
    100'000'000,    250'000'000,    500'000'000,     1'000'000'000,    2'500'000'000, 5'000'000'000,
    10'000'000'000, 60'000'000'000, 300'000'000'000, 1'800'000'000'000};
inline constexpr std::array<int64_t, 13> kOverheadBounds = {
    10'000,    25'000,    50'000,     100'000,    250'000,     500'000,      1'000'000,
    2'500'000, 5'000'000, 10'000'000, 25'000'000, 100'000'000, 1'000'000'000};

template <const auto& kBounds>
class Histogram {
 public:
  void Observe(int64_t nanoseconds) {
    const auto at = std::lower_bound(kBounds.begin(), kBounds.end(), nanoseconds);
    ++counts_[static_cast<size_t>(at - kBounds.begin())];
    sum_ += nanoseconds;
  }
  void Add(const Histogram& other) {
    for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    sum_ += other.sum_;
  }

  static constexpr const auto& bounds() { return kBounds; }
  // Of the values up to each bound and above the one before; the last: above all bounds.
  const std::array<uint64_t, kBounds.size() + 1>& counts() const { return counts_; }
  int64_t sum() const { return sum_; }  // nanoseconds

 private:
  std::array<uint64_t, kBounds.size() + 1> counts_ = {};
  int64_t sum_ = 0;
};

}  // namespace tao::gateway
