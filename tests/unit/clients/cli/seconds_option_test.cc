#include "clients/cli/seconds_option.h"

namespace tao::cli {
namespace {

TEST(SecondsOptionTest, TakesUnitsAndPlainSeconds) {
  EXPECT_EQ(ParseSeconds("90"), absl::Seconds(90));
  EXPECT_EQ(ParseSeconds("0.5"), absl::Milliseconds(500));
  EXPECT_EQ(ParseSeconds("1h30m"), absl::Minutes(90));
}

TEST(SecondsOptionTest, RefusesWhatIsNoLengthOfTime) {
  for (const char* text : {"", "soon", "-1", "-5s", "inf", "nan", "10 parsecs"}) {
    EXPECT_EQ(ParseSeconds(text), std::nullopt) << text;
  }
}

TEST(SecondsOptionTest, BecomesAProtoDuration) {
  const google::protobuf::Duration duration = ToProtoDuration("1m1.25s");
  EXPECT_EQ(duration.seconds(), 61);
  EXPECT_EQ(duration.nanos(), 250'000'000);
}

}  // namespace
}  // namespace tao::cli
