#pragma once

// What is wrong with a request, or would be ignored of it. Plain data.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tao::contract {

// Findings told in one answer, and notices kept of one request; all are counted.
inline constexpr size_t kMaxFindings = 50;

// A value that the container would answer with an error.
struct Finding {
  std::string param;  // its place: messages[0].content[1].image_url.url
  std::string found;  // what stands there
  std::string right;  // what would be right

  friend bool operator==(const Finding&, const Finding&) = default;
};

// What the container will not heed, or will decide by itself.
struct Notice {
  std::string param;
  std::string text;   // printable ASCII
  std::string right;  // what would give no notice

  friend bool operator==(const Notice&, const Notice&) = default;
};

// The first kMaxFindings, and the number of all.
template <typename T>
class FirstOf {
 public:
  // Whether one more would be kept: making it can be spared otherwise.
  bool has_room() const { return items_.size() < kMaxFindings; }
  void Add(T item) {
    if (has_room()) items_.push_back(std::move(item));
    ++total_;
  }
  void Count() { ++total_; }
  // Forgets what was added since there were `total`.
  void ReturnTo(uint64_t total) {
    if (items_.size() > total) items_.resize(total);
    total_ = total;
  }
  const std::vector<T>& items() const { return items_; }
  uint64_t total() const { return total_; }

 private:
  std::vector<T> items_;
  uint64_t total_ = 0;
};

}  // namespace tao::contract
