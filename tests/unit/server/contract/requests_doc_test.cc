// docs/requests.md against references/request.yaml: its right requests are right, and its wrong
// ones are answered as it says.

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "gateway/chat/body_scanner.h"
#include "server/catalog/catalog.h"
#include "server/contract/body_check.h"

namespace tao::contract {
namespace {

struct Example {
  std::string kind;  // "right", "wrong"
  std::string arch;
  std::string body;
  std::string answer;  // of a wrong one
};

// Blocks that open with "```json KIND ARCH", and for a wrong one the "```answer" block behind it.
std::vector<Example> Examples() {
  std::ifstream page(TAO_SOURCE_DIR "/docs/requests.md");
  std::vector<Example> examples;
  std::string line;
  std::string* block = nullptr;
  while (std::getline(page, line)) {
    if (block != nullptr && line == "```") {
      block = nullptr;
    } else if (block != nullptr) {
      if (!block->empty()) *block += '\n';
      *block += line;
    } else if (line.starts_with("```json right ") || line.starts_with("```json wrong ")) {
      block = &examples.emplace_back(Example{line.substr(8, 5), line.substr(14), "", ""}).body;
    } else if (line == "```answer" && !examples.empty()) {
      block = &examples.back().answer;
    }
  }
  return examples;
}

std::string VerdictOf(const Example& example, const Contracts& contracts) {
  BodyCheck check(&contracts, nullptr);
  chat::BodyScanner scanner(check);
  absl::Status status = scanner.Feed(example.body);
  if (status.ok()) status = scanner.Finish();
  if (!status.ok()) return status.ToString();
  check.Decide(example.arch);
  return std::string(check.Verdict(/*strict=*/false).message());
}

TEST(RequestsDocTest, EachRequestIsJudgedAsThePageSays) {
  const auto catalog = *catalog::Catalog::Load(TAO_SOURCE_DIR "/references");
  const auto contracts = Contracts::Build(catalog->request());
  std::map<std::string, int> right, wrong;
  for (const Example& example : Examples()) {
    ++(example.kind == "right" ? right : wrong)[example.arch];
    EXPECT_EQ(VerdictOf(example, *contracts), example.answer) << example.body;
  }
  for (const std::string& arch : catalog->arch_names()) {
    EXPECT_EQ(right[arch], 1) << arch;
    EXPECT_EQ(wrong[arch], 3) << arch;
  }
}

}  // namespace
}  // namespace tao::contract
