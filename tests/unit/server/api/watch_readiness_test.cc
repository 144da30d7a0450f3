#include "server/api/watch_readiness.h"

#include <gtest/gtest.h>

namespace tao::api {
namespace {

using registry::JournalEntry;
using registry::Operation;
using registry::ServiceRecord;
using registry::Step;
using routing::Phase;

ServiceRecord RecordIn(Phase phase, JournalEntry journal = {}) {
  ServiceRecord record;
  record.phase = phase;
  record.journal = journal;
  return record;
}

TEST(IsLastEventTest, EndsWithTheServiceAndWithReadyWhenAsked) {
  EXPECT_FALSE(IsLastEvent(RecordIn(Phase::kLoading), /*until_ready=*/true));
  EXPECT_FALSE(IsLastEvent(RecordIn(Phase::kReady), /*until_ready=*/false));
  EXPECT_TRUE(IsLastEvent(RecordIn(Phase::kReady), /*until_ready=*/true));
  EXPECT_FALSE(IsLastEvent(RecordIn(Phase::kDraining), /*until_ready=*/true));
  EXPECT_TRUE(IsLastEvent(RecordIn(Phase::kStopped), /*until_ready=*/false));
  EXPECT_TRUE(IsLastEvent(RecordIn(Phase::kFailed), /*until_ready=*/false));
}

TEST(IsLastEventTest, FailedIsNotTheLastBeforeItsLogLinesAreSaved) {
  const auto failed_at = [](Step step, bool done) {
    return RecordIn(Phase::kFailed, {.operation = Operation::kFail, .step = step, .done = done});
  };
  EXPECT_FALSE(IsLastEvent(failed_at(Step::kSaveLogs, /*done=*/false), /*until_ready=*/true));
  EXPECT_TRUE(IsLastEvent(failed_at(Step::kSaveLogs, /*done=*/true), /*until_ready=*/true));
  EXPECT_TRUE(IsLastEvent(failed_at(Step::kEndJob, /*done=*/false), /*until_ready=*/true));
}

}  // namespace
}  // namespace tao::api
