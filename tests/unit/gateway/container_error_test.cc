#include "gateway/container_error.h"

#include <gtest/gtest.h>

namespace tao::gateway {
namespace {

TEST(ContainerErrorTest, ReadsBothShapes) {
  const struct {
    std::string body;
    std::string type;
    std::string message;
  } rows[] = {
      {R"({"error":{"message":"m \"q\"","type":"model_loading"}})", "model_loading", "m \"q\""},
      {R"({"status":"not_ready","reason":"model_load_failed","message":"m"})", "model_load_failed",
       "m"},
      {R"({"x":{"type":"no"},"error":{"a":{"type":"no"},"b":[{"type":"no"}],"type":"yes"}})", "yes",
       ""},
      {R"({"error":"Unauthorized"})", "", ""},
      {R"([{"error":{"type":"no"}}])", "", ""},
      {R"({"error":{"type":"cut)", "", ""},
      {"<html>", "", ""},
      {"", "", ""},
  };
  for (const auto& row : rows) {
    const ContainerError error = ParseContainerError(row.body);
    EXPECT_EQ(error.type, row.type) << row.body;
    EXPECT_EQ(error.message, row.message) << row.body;
  }
}

TEST(ContainerErrorTest, CutsLongTextBetweenCharacters) {
  const std::string text = "a" + [] {
    std::string umlauts;
    for (int i = 0; i < 2000; ++i) umlauts += "\xc3\xa4";
    return umlauts;
  }();
  const ContainerError error = ParseContainerError(R"({"message":")" + text + R"("})");
  EXPECT_EQ(error.message, text.substr(0, 999));
}

TEST(ContainerErrorTest, TellsFinalFromLoading) {
  EXPECT_TRUE(IsFinal({"initialization_failed", ""}));
  EXPECT_FALSE(IsFinal({"model_loading", ""}));
  EXPECT_TRUE(IsLoading({"server_initializing", ""}));
  EXPECT_FALSE(IsLoading({"internal_error", ""}));
}

}  // namespace
}  // namespace tao::gateway
