#include "server/lifecycle/port_choice.h"

namespace tao::lifecycle {
namespace {

TEST(PortChoiceTest, WhatAStartMayHave) {
  EXPECT_EQ(PortWishFor(/*forwarded=*/true, /*has_port_flag=*/true), (PortWish{"", 8080, 8199}));
  EXPECT_EQ(PortWishFor(/*forwarded=*/true, /*has_port_flag=*/false), (PortWish{"", 8080, 8199}));
  EXPECT_EQ(PortWishFor(/*forwarded=*/false, /*has_port_flag=*/true), (PortWish{"", 8081, 8199}));
  EXPECT_EQ(PortWishFor(/*forwarded=*/false, /*has_port_flag=*/false), (PortWish{"", 8080, 8080}));
}

TEST(PortChoiceTest, LowestFreePortFirst) {
  EXPECT_EQ(LowestFreePort({}, {}), 8080);
  EXPECT_EQ(LowestFreePort({}, {8080, 8081, 8083}), 8082);
  EXPECT_EQ(LowestFreePort({.first = 8081, .last = 8199}, {1}), 8081);
  EXPECT_EQ(LowestFreePort({.first = 8080, .last = 8080}, {8080}), std::nullopt);
  EXPECT_EQ(LowestFreePort({.first = 8080, .last = 8081}, {8080}), 8081) << "the last one counts";
}

}  // namespace
}  // namespace tao::lifecycle
