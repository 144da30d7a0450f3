#include "server/routing/phase.h"

#include <gtest/gtest.h>

namespace tao::routing {
namespace {

struct PhaseCase {
  Phase phase;
  std::string_view name;
  bool candidate, final;
};

TEST(PhaseTest, EachPhaseHasItsNameAndItsRules) {
  for (const PhaseCase& want : std::vector<PhaseCase>{
           {Phase::kLaunching, "LAUNCHING", false, false},
           {Phase::kPending, "PENDING", false, false},
           {Phase::kStarting, "STARTING", true, false},
           {Phase::kInitializing, "INITIALIZING", true, false},
           {Phase::kLoading, "LOADING", true, false},
           {Phase::kReady, "READY", true, false},
           {Phase::kUnreachable, "UNREACHABLE", true, false},
           {Phase::kDraining, "DRAINING", false, false},
           {Phase::kFailed, "FAILED", false, true},
           {Phase::kStopped, "STOPPED", false, true},
       }) {
    EXPECT_EQ(ToString(want.phase), want.name);
    EXPECT_EQ(IsCandidate(want.phase), want.candidate) << want.name;
    EXPECT_EQ(IsFinal(want.phase), want.final) << want.name;
  }
}

}  // namespace
}  // namespace tao::routing
