#include "server/catalog/findings.h"

#include <absl/strings/str_format.h>

#include <algorithm>

namespace tao::catalog {
namespace {

// One mistake can cause many; nobody reads more than this.
constexpr size_t kMaxShown = 50;

}  // namespace

void Findings::Add(std::string_view file, int line, std::string_view key,
                   std::string_view message) {
  const auto known = std::find(files_.begin(), files_.end(), file);
  const auto index = static_cast<size_t>(known - files_.begin());
  if (known == files_.end()) files_.emplace_back(file);

  std::string text(file);
  if (line > 0) text += absl::StrFormat(":%d", line);
  if (!key.empty()) text += absl::StrFormat(": %s", key);
  text += absl::StrFormat(": %s", message);
  all_.push_back({.file = index, .line = line, .text = std::move(text)});
}

absl::Status Findings::ToStatus(std::string_view folder) const {
  if (all_.empty()) return absl::OkStatus();
  std::vector<Finding> sorted = all_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Finding& a, const Finding& b) {
    return a.file != b.file ? a.file < b.file : a.line < b.line;
  });
  std::string message = absl::StrFormat("reference data in %s: %d finding%s", folder, sorted.size(),
                                        sorted.size() == 1 ? "" : "s");
  for (size_t i = 0; i < std::min(sorted.size(), kMaxShown); ++i) {
    message += "\n  " + sorted[i].text;
  }
  if (sorted.size() > kMaxShown) {
    message += absl::StrFormat("\n  and %d more", sorted.size() - kMaxShown);
  }
  return absl::InvalidArgumentError(message);
}

}  // namespace tao::catalog
