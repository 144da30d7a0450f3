#include "server/base/uuid.h"

#include <gtest/gtest.h>

#include <set>

namespace tao::base {
namespace {

TEST(UuidTest, NewOnesAreValidAndDifferent) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string uuid = NewUuid();
    EXPECT_TRUE(IsUuid(uuid)) << uuid;
    EXPECT_TRUE(seen.insert(uuid).second) << uuid;
  }
}

TEST(UuidTest, AcceptsOnlyLowerCaseVersion4) {
  EXPECT_TRUE(IsUuid("01234567-89ab-4cde-8f01-23456789abcd"));
  for (const char variant : {'8', '9', 'a', 'b'}) {
    std::string uuid = "01234567-89ab-4cde-8f01-23456789abcd";
    uuid[19] = variant;
    EXPECT_TRUE(IsUuid(uuid)) << uuid;
  }
  for (const char* bad : {
           "",
           "01234567-89ab-4cde-8f01-23456789abc",      // short
           "01234567-89ab-4cde-8f01-23456789abcd0",    // long
           "01234567-89AB-4cde-8f01-23456789abcd",     // upper case
           "01234567-89ab-1cde-8f01-23456789abcd",     // version 1
           "01234567-89ab-4cde-7f01-23456789abcd",     // variant
           "01234567-89ab-4cde-cf01-23456789abcd",     // variant
           "0123456789ab-4cde-8f01-23456789abcd0000",  // hyphens
           "01234567_89ab-4cde-8f01-23456789abcd",     // not a hyphen
           "0123456g-89ab-4cde-8f01-23456789abcd",     // not hexadecimal
           "../../../../../../../../etc/passwd..",     // 36 bytes
           "{1234567-89ab-4cde-8f01-23456789abc}",
       }) {
    EXPECT_FALSE(IsUuid(bad)) << bad;
  }
}

}  // namespace
}  // namespace tao::base
