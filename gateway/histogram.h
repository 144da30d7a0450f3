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

// Between two events of a stream: a token takes milliseconds, a silence ends after five minutes.
inline constexpr std::array<int64_t, 9> kGapBounds = {
    5'000'000,     25'000'000,     100'000'000,    250'000'000,    1'000'000'000,
    2'500'000'000, 10'000'000'000, 60'000'000'000, 300'000'000'000};

// `Count`: of one stream, which has thousands of events, or of all requests of a service.
template <const auto& kBounds, typename Count = uint64_t>
class Histogram {
 public:
  void Observe(int64_t nanoseconds, Count times = 1) {
    const auto at = std::lower_bound(kBounds.begin(), kBounds.end(), nanoseconds);
    counts_[static_cast<size_t>(at - kBounds.begin())] += times;
    sum_ += nanoseconds * static_cast<int64_t>(times);
  }
  template <typename OtherCount>
  void Add(const Histogram<kBounds, OtherCount>& other) {
    for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts()[i];
    sum_ += other.sum();
  }

  static constexpr const auto& bounds() { return kBounds; }
  // Of the values up to each bound and above the one before; the last: above all bounds.
  const std::array<Count, kBounds.size() + 1>& counts() const { return counts_; }
  int64_t sum() const { return sum_; }  // nanoseconds

 private:
  std::array<Count, kBounds.size() + 1> counts_ = {};
  int64_t sum_ = 0;
};

// Of one stream's events.
using GapHistogram = Histogram<kGapBounds, uint32_t>;

}  // namespace tao::gateway
