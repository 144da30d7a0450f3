#include "server/base/closest_name.h"

#include <algorithm>
#include <numeric>

#include "server/base/strings.h"

namespace tao::base {
namespace {

// Names are short; a longer text is no misspelt name, and must not cost quadratic time.
constexpr size_t kMaxLength = 100;

// Insertions, deletions, replacements and swaps of neighbours that lead from `a` to `b`.
size_t Edits(std::string_view a, std::string_view b) {
  std::vector<size_t> before_last, last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
    before_last = last;
    last = row;
  }
  return last.back();
}

}  // namespace

std::string FoldedName(std::string_view name) {
  std::string folded = AsciiLower(name);
  std::replace(folded.begin(), folded.end(), '-', '_');
  return folded;
}

std::string ClosestName(std::string_view name, const std::vector<std::string>& known) {
  if (name.empty() || name.size() > kMaxLength) return "";
  const std::string wanted = FoldedName(name);
  size_t fewest = std::max<size_t>(1, name.size() / 3) + 1;
  std::string closest;
  for (const std::string& candidate : known) {
    if (candidate.size() > kMaxLength) continue;
    const size_t edits = Edits(wanted, FoldedName(candidate));
    if (edits >= fewest) continue;
    fewest = edits;
    closest = candidate;
  }
  return closest;
}

std::string DidYouMean(std::string_view name, const std::vector<std::string>& known) {
  const std::string closest = ClosestName(name, known);
  return closest.empty() ? "" : "; did you mean " + Quoted(closest) + "?";
}

}  // namespace tao::base
