#include "server/routing/selector.h"

#include <gtest/gtest.h>

namespace tao::routing {
namespace {

using Kind = SelectorTerm::Kind;

TEST(SelectorTest, DescribesWhatWasSaidAndWhere) {
  EXPECT_EQ(Describe(Selector{}), "nothing");
  EXPECT_EQ(Describe(Selector{{{Kind::kJobId, "job-1", "header X-TAO-Job-ID"},
                               {Kind::kNetworkArch, "cosmos-rl", "path"},
                               {Kind::kModel, "org/name", "model"}}}),
            "job_id=\"job-1\" (header X-TAO-Job-ID), network_arch=\"cosmos-rl\" (path), "
            "model=\"org/name\"");
}

TEST(SelectorTest, QuotesAndCutsTheValue) {
  const std::string text =
      Describe(SelectorTerm{Kind::kModel, "a\"\n" + std::string(10'000, 'x'), "model"});
  EXPECT_EQ(text.substr(0, 14), R"(model="a\"\x0a)");
  EXPECT_LT(text.size(), 200u);
}

}  // namespace
}  // namespace tao::routing
