#include "gateway/request_wishes.h"

#include <gtest/gtest.h>

#include <optional>
#include <string_view>
#include <vector>

namespace tao::gateway {
namespace {

struct Line {
  std::string_view name;
  std::string_view value;
};

RequestWishes WishesOf(const std::vector<Line>& lines) {
  http::FieldList fields;
  for (const Line& line : lines) fields.Add({http::FieldIdOf(line.name), line.name, line.value});
  return ReadWishes(fields);
}

TEST(RequestWishesTest, WaitAsRfc7240WritesIt) {
  const struct {
    std::string_view prefer;
    std::optional<int> seconds;
  } cases[] = {
      {"wait=10", 10},
      {"Wait=10", 10},
      {"wait = 10", 10},
      {"wait=\"10\"", 10},
      {"respond-async, wait=10", 10},
      {"wait=10; foo=bar, wait=20", 10},
      {"handling=lenient;wait=5, return=minimal", std::nullopt},  // a parameter is no preference
      {"", std::nullopt},
      {"wait", std::nullopt},
      {"wait=", std::nullopt},
      {"wait=0", std::nullopt},
      {"wait=-1", std::nullopt},
      {"wait=1e9", std::nullopt},
      {"wait=nan", std::nullopt},
      {"wait=99999999999999999999", std::nullopt},
      {"waiting=10", std::nullopt},
  };
  for (const auto& each : cases) {
    SCOPED_TRACE(each.prefer);
    const std::optional<absl::Duration> wait = WishesOf({{"Prefer", each.prefer}}).wait;
    ASSERT_EQ(wait.has_value(), each.seconds.has_value());
    EXPECT_EQ(wait.value_or(absl::ZeroDuration()), absl::Seconds(each.seconds.value_or(0)));
  }
  EXPECT_EQ(WishesOf({{"Prefer", "respond-async"}, {"prefer", "wait=3"}}).wait, absl::Seconds(3));
}

TEST(RequestWishesTest, TimeoutsOfTheLibraries) {
  EXPECT_FALSE(WishesOf({}).timeouts.first_byte.has_value());

  const base::TimeoutOverrides python = WishesOf({{"x-stainless-read-timeout", "600"}}).timeouts;
  EXPECT_EQ(python.first_byte, absl::Seconds(600));
  EXPECT_EQ(python.between_bytes, absl::Seconds(600));
  EXPECT_FALSE(python.total.has_value());

  const base::TimeoutOverrides node = WishesOf({{"x-stainless-timeout", "1.5"}}).timeouts;
  EXPECT_EQ(node.first_byte, absl::Milliseconds(1500));
  EXPECT_FALSE(node.between_bytes.has_value());

  for (const std::string_view wrong : {"", "0", "-1", "1e3", "inf", "600 s", "0x10", "1.2.3"}) {
    SCOPED_TRACE(wrong);
    EXPECT_FALSE(WishesOf({{"X-Stainless-Read-Timeout", wrong}}).timeouts.first_byte.has_value());
  }
}

TEST(RequestWishesTest, AClientCanOnlyShorten) {
  base::ExchangeTimeouts timeouts;
  timeouts.first_byte = absl::Seconds(100);
  base::TimeoutOverrides client;
  client.first_byte = absl::Seconds(600);
  client.between_bytes = absl::Seconds(1);
  timeouts = Narrowed(timeouts, client);
  EXPECT_EQ(timeouts.first_byte, absl::Seconds(100));
  EXPECT_EQ(timeouts.between_bytes, absl::Seconds(1));
  EXPECT_EQ(timeouts.total, absl::InfiniteDuration());
}

}  // namespace
}  // namespace tao::gateway
