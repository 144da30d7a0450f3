#include "gateway/chat/routing_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/chat/body_scanner.h"
#include "gateway/chat/openai_error.h"
#include "server/base/errors.h"
#include "server/base/strings.h"

namespace tao::chat {
namespace {

using std::literals::operator""s;
using testing::HasSubstr;

struct Read {
  absl::Status status;
  std::optional<std::string> model;
  bool stream = false;
  bool include_usage = false;
};

Read ReadKeys(std::string_view body, size_t step) {
  RoutingKeys keys;
  BodyScanner scanner(keys);
  absl::Status status;
  for (size_t at = 0; at < body.size() && status.ok(); at += step) {
    status = scanner.Feed(body.substr(at, step));
  }
  if (status.ok()) status = scanner.Finish();
  return {status, keys.model(), keys.stream(), keys.include_usage()};
}

struct GoodCase {
  std::string body;
  std::optional<std::string> model;
  bool stream = false;
  bool include_usage = false;
};

class RoutingKeysTest : public testing::TestWithParam<GoodCase> {};

TEST_P(RoutingKeysTest, FindsThemWhereverTheyStand) {
  for (const size_t step : {GetParam().body.size(), size_t{1}, size_t{3}}) {
    const Read read = ReadKeys(GetParam().body, step);
    EXPECT_TRUE(read.status.ok()) << read.status;
    EXPECT_EQ(read.model, GetParam().model);
    EXPECT_EQ(read.stream, GetParam().stream);
    EXPECT_EQ(read.include_usage, GetParam().include_usage);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Bodies, RoutingKeysTest,
    testing::ValuesIn<GoodCase>({
        {"{}", std::nullopt},
        {R"({"model":"m"})", "m"},
        {R"({"messages":[{"role":"user","content":"x"}],"model":"m","stream":true})", "m", true},
        {"{\n  \"stream\": false,\n  \"model\": \"org/m\"\n}", "org/m", false},
        {R"({"stream":null})", std::nullopt, false},
        {R"({"model":""})", ""},  // present, names nothing
        {R"({"model":"a\u00e9\ud83d\ude00\n"})", "aé😀\n"},
        // C71
        {R"({"mod\u0065l":"m"})", "m"},
        {R"({"\u006d\u006f\u0064\u0065\u006c":"m","s\u0074ream":true})", "m", true},
        {R"({"messages":[{"model":"x","stream":true}]})", std::nullopt},
        {R"({"a":{"model":7,"model":"x"},"model":"m"})", "m"},
        {R"({"a":[[{"model":"x"}]],"b":"model"})", std::nullopt},
        {R"({"Model":"m","MODEL":"m","STREAM":1,"model ":"x","mode":"x"})", std::nullopt},
        // C74: odd names are names, and somebody else's to print with care
        {R"({"model":"m\r\nX: y"})", "m\r\nX: y"},
        {R"({"model":"../x"})", "../x"},
        {R"({"model":"m\u0000"})", "m\0"s},
        {"{\"model\":\"" + std::string(kMaxModelBytes, 'm') + "\"}",
         std::string(kMaxModelBytes, 'm')},
        // stream_options
        {R"({"stream":true,"stream_options":{"include_usage":true}})", std::nullopt, true, true},
        {R"({"stream_options":{"x":{"include_usage":true}}})", std::nullopt},
        {R"({"stream_options":{"x":{"y":[1]},"include_usage":true}})", std::nullopt, false, true},
        {R"({"stream_options":{"include_usage":true,"include_usage":false}})", std::nullopt},
        {R"({"stream_options":{"include_usage":true},"stream_options":null})", std::nullopt},
        {R"({"stream_options":[{"include_usage":true}],"x":{"include_usage":true}})", std::nullopt},
        {R"({"stream_options":{"include_usage":1}})", std::nullopt},
        {R"({"include_usage":true,"stream_options":true})", std::nullopt},
    }));

struct BadCase {
  std::string name;
  std::string body;
  std::string param;
  std::string problem;
};

class BadRoutingKeysTest : public testing::TestWithParam<BadCase> {};

TEST_P(BadRoutingKeysTest, AreRefusedWithTheirParam) {
  for (const size_t step : {GetParam().body.size(), size_t{1}}) {
    const Read read = ReadKeys(GetParam().body, step);
    EXPECT_EQ(base::TokenOf(read.status), base::ErrorToken::kBadRequest) << read.status;
    EXPECT_EQ(base::DetailsOf(read.status).param, GetParam().param);
    EXPECT_THAT(std::string(base::ToStd(read.status.message())), HasSubstr(GetParam().problem));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Bodies, BadRoutingKeysTest,
    testing::ValuesIn<BadCase>({
        // C70
        {"TwoModels", R"({"model":"a","model":"b"})", "model", "is given twice"},
        {"TwoEqualModels", R"({"model":"a","x":1,"model":"a"})", "model", "is given twice"},
        {"SecondModelEscaped", R"({"model":"a","mod\u0065l":"b"})", "model", "is given twice"},
        {"TwoStreams", R"({"stream":true,"stream":false})", "stream", "is given twice"},
        {"NullThenStream", R"({"stream":null,"stream":true})", "stream", "is given twice"},
        // C74
        {"ModelNumber", R"({"model":1})", "model", "is a number; it must be a string"},
        {"ModelNull", R"({"model":null})", "model", "is null; it must be a string"},
        {"ModelObject", R"({"model":{}})", "model", "is an object"},
        {"ModelArray", R"({"model":["m"]})", "model", "is an array"},
        {"ModelBoolean", R"({"model":true})", "model", "is a boolean"},
        {"ModelTooLong", "{\"model\":\"" + std::string(kMaxModelBytes + 1, 'm') + "\"}", "model",
         "is longer than 4096 bytes"},
        {"ModelMegabyte", "{\"model\":\"" + std::string(1 << 20, 'm') + "\"}", "model",
         "is longer than 4096 bytes"},
        {"ModelLoneSurrogate", R"({"model":"\ud800"})", "", "surrogate pair"},
        {"StreamString", R"({"stream":"true"})", "stream", "is a string; it must be true or false"},
        {"StreamNumber", R"({"stream":1})", "stream", "is a number"},
        {"StreamObject", R"({"stream":{}})", "stream", "is an object"},
        {"StreamArray", R"({"stream":[true]})", "stream", "is an array"},
    }),
    [](const auto& test) { return test.param.name; });

// The value that cannot be copied raw anywhere is escaped in the one place that shows it.
TEST(RoutingKeysErrorTest, NeverShowsTheValue) {
  const Read read = ReadKeys("{\"model\":\"secret\",\"model\":\"other\"}", 100);
  EXPECT_THAT(ErrorBody(read.status), testing::Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace tao::chat
