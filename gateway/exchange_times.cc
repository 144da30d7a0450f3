#include "gateway/exchange_times.h"

#include <time.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace tao::gateway {
namespace {

constexpr int64_t kMostMicroseconds = 1'000'000'000'000;  // 11 days

}  // namespace

void EventTimes::Came(uint64_t more, int64_t now) {
  if (more == 0) return;
  count += more;
  if (first == 0) {
    first = now;
  } else {
    gaps.Observe(now - last);
    longest_gap = std::max(longest_gap, now - last);
  }
  gaps.Observe(0, static_cast<uint32_t>(more - 1));
  last = now;
}

int64_t ExchangeTimes::Now() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

int64_t ExchangeTimes::Overhead() const {
  int64_t own = 0;
  if (sent != 0 && sendable != 0) own += std::max<int64_t>(sent - sendable, 0);
  if (answered != 0 && head != 0) own += answered - head;
  return own;
}

int64_t ExchangeTimes::Upstream() const {
  return head == 0 || sent == 0 ? 0 : std::max<int64_t>(head - sent, 0);
}

ServerTiming::ServerTiming(const ExchangeTimes& times) {
  Add("gw", times.Overhead());
  if (times.held != 0) Add(", held", times.held);
  if (times.connect != 0) Add(", connect", times.connect);
  if (times.head != 0) Add(", up", times.Upstream());
}

void ServerTiming::Add(std::string_view name, int64_t nanoseconds) {
  char* to = text_.data() + size_;
  const auto put = [&to](std::string_view text) {
    std::memcpy(to, text.data(), text.size());
    to += text.size();
  };
  const int64_t microseconds = std::min(nanoseconds / 1000, kMostMicroseconds);
  put(name);
  put(";dur=");
  to = std::to_chars(to, text_.data() + text_.size(), microseconds / 1000).ptr;
  const auto rest = static_cast<int>(microseconds % 1000);
  *to++ = '.';
  *to++ = static_cast<char>('0' + rest / 100);
  *to++ = static_cast<char>('0' + rest / 10 % 10);
  *to++ = static_cast<char>('0' + rest % 10);
  size_ = static_cast<size_t>(to - text_.data());
}

}  // namespace tao::gateway
