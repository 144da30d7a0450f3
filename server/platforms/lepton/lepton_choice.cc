#include "server/platforms/lepton/lepton_choice.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include <algorithm>

#include "server/base/closest_name.h"
#include "server/base/strings.h"

namespace tao::platforms {
namespace {

constexpr size_t kMaxListed = 20;  // names in one of our errors

std::string Listed(std::vector<std::string> names) {
  const size_t all = names.size();
  if (all > kMaxListed) names.resize(kMaxListed);
  std::string text = base::JoinedList(names);
  if (all > kMaxListed) text += absl::StrFormat(" (%d in all)", all);
  return text;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> LeptonNodeGroupIds(
    std::string_view names, const std::vector<LeptonNodeGroup>& groups) {
  std::vector<std::string> ids, known;
  for (const LeptonNodeGroup& group : groups) {
    known.push_back(group.name.empty() ? group.id : group.name);
  }
  for (absl::string_view part : absl::StrSplit(base::ToAbsl(names), ',', absl::SkipWhitespace())) {
    const std::string name(absl::StripAsciiWhitespace(part));
    const auto found = std::find_if(groups.begin(), groups.end(), [&](const LeptonNodeGroup& g) {
      return g.name == name || g.id == name;
    });
    if (found == groups.end()) {
      return absl::FailedPreconditionError(absl::StrFormat(
          "the Lepton workspace has no dedicated node group %s; it has %s%s. Give one of them as "
          "--dedicated-node-group",
          base::Quoted(name), Listed(known), base::DidYouMean(name, known)));
    }
    ids.push_back(found->id);
  }
  return ids;
}

absl::StatusOr<std::string> ChooseLeptonShape(std::string_view asked,
                                              const launch::GpuRequest& gpus,
                                              const std::vector<LeptonShape>& shapes) {
  const int count = gpus.mode == launch::GpuMode::kNone ? 0 : gpus.count;
  std::vector<std::string> known;
  const LeptonShape* best = nullptr;
  const auto before = [&](const LeptonShape& a, const LeptonShape& b) {
    if (count == 0 && a.memory_mb != b.memory_mb) return a.memory_mb < b.memory_mb;
    return a.id < b.id;
  };
  for (const LeptonShape& shape : shapes) {
    if (!shape.for_endpoints) continue;
    known.push_back(shape.id);
    if (!asked.empty() && shape.id == asked) return shape.id;
    if (shape.accelerator_num != count) continue;
    if (best == nullptr || before(shape, *best)) best = &shape;
  }
  std::sort(known.begin(), known.end());
  if (!asked.empty()) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "the Lepton workspace has no resource shape %s for endpoints here; it has %s%s. Give one "
        "of them as --resource-shape, or another --dedicated-node-group",
        base::Quoted(asked), Listed(known), base::DidYouMean(std::string(asked), known)));
  }
  if (best != nullptr) return best->id;
  return absl::FailedPreconditionError(absl::StrFormat(
      "no resource shape of the Lepton workspace has %s; it has %s. Ask for as many GPUs as one of "
      "them has (--gpu-count), give one as --resource-shape, or another --dedicated-node-group",
      count == 0 ? "no GPU" : absl::StrFormat("%d GPU%s", count, count == 1 ? "" : "s"),
      Listed(known)));
}

}  // namespace tao::platforms
