#include "server/platforms/local_process/parent/secret_filter.h"

#include <algorithm>
#include <utility>

namespace tao::process_parent {
namespace {

constexpr size_t kShortestRedacted = 8;

}  // namespace

SecretFilter::SecretFilter(std::vector<std::string> values) : values_(std::move(values)) {
  std::erase_if(values_, [](const std::string& value) { return value.size() < kShortestRedacted; });
  std::sort(values_.begin(), values_.end(),
            [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
}

std::string SecretFilter::Add(std::string_view text) {
  if (values_.empty()) return std::string(text);
  const std::string all = std::exchange(held_, "") + std::string(text);
  std::string out;
  size_t at = 0;
  while (at < all.size()) {
    const std::string_view rest = std::string_view(all).substr(at);
    // The longest value that stands here, or may: whichever comes first, in the order of length.
    const auto value =
        std::find_if(values_.begin(), values_.end(), [rest](const std::string& each) {
          return rest.starts_with(each) || std::string_view(each).starts_with(rest);
        });
    if (value == values_.end()) {
      out += all[at++];
    } else if (rest.starts_with(*value)) {
      out += "***";
      at += value->size();
    } else {
      held_ = rest;
      break;
    }
  }
  return out;
}

std::string SecretFilter::TakeRest() {
  // What was held for a longer value may be a shorter one.
  std::string rest = std::exchange(held_, "");
  for (const std::string& value : values_) {
    for (size_t at = rest.find(value); at != std::string::npos; at = rest.find(value, at)) {
      rest.replace(at, value.size(), "***");
    }
  }
  return rest;
}

}  // namespace tao::process_parent
