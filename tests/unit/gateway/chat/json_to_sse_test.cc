#include "gateway/chat/json_to_sse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "gateway/chat/sse_boundary.h"
#include "server/base/errors.h"
#include "server/base/strings.h"

namespace tao::chat {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

struct Converted {
  absl::Status status;
  std::string stream;
  bool answered_error = false;
};

JsonToSseOptions Options() {
  return {
      .include_usage = true, .id = "chatcmpl-\"own\"", .model = "own-model", .created = 1700000000};
}

Converted Convert(std::string_view answer, const std::vector<size_t>& cuts = {},
                  const JsonToSseOptions& options = Options()) {
  JsonToSse sse(options);
  SseBoundary boundary;
  std::string stream;
  absl::Status status;
  size_t from = 0;
  for (size_t i = 0; i <= cuts.size() && status.ok(); ++i) {
    const size_t to = i < cuts.size() ? cuts[i] : answer.size();
    std::string out;
    status = sse.Feed(answer.substr(from, to - from), out);
    boundary.Feed(out);
    EXPECT_TRUE(boundary.at_boundary()) << "after a Feed";
    stream += out;
    from = to;
  }
  std::string out;
  if (status.ok()) status = sse.Finish(out);
  boundary.Feed(out);
  EXPECT_TRUE(boundary.at_boundary());
  stream += out;
  EXPECT_EQ(boundary.done_seen(), status.ok() && !sse.answered_error());
  return {status, stream, sse.answered_error()};
}

// The data of each event; fails the test on anything that OpenAI's clients stumble over.
std::vector<std::string> Events(const std::string& stream) {
  std::vector<std::string> events;
  size_t at = 0;
  while (at < stream.size()) {
    const size_t end = stream.find("\n\n", at);
    EXPECT_NE(end, std::string::npos) << "a partial event";
    if (end == std::string::npos) break;
    EXPECT_EQ(stream.compare(at, 6, "data: "), 0) << stream.substr(at, 40);
    events.push_back(stream.substr(at + 6, end - at - 6));
    EXPECT_EQ(events.back().find_first_of("\r\n"), std::string::npos);
    at = end + 2;
  }
  return events;
}

// What a client puts together from a stream, in the way of the SDKs' accumulators.
struct Received {
  std::string id, model;
  int64_t created = 0;
  std::map<int, json> messages;  // by choice
  std::map<int, std::string> finish_reasons;
  json usage;
  json error;
  bool done = false;
  size_t longest_text = 0;
};

Received Receive(const std::string& stream) {
  Received got;
  bool first = true;
  for (const std::string& event : Events(stream)) {
    EXPECT_FALSE(got.done) << "an event after [DONE]";
    if (event == "[DONE]") {
      got.done = true;
      continue;
    }
    const json chunk = json::parse(event, nullptr, /*allow_exceptions=*/false);
    EXPECT_TRUE(chunk.is_object()) << event;
    if (!chunk.is_object()) break;
    if (chunk.contains("error")) {
      got.error = chunk["error"];
      continue;
    }
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    EXPECT_TRUE(chunk["choices"].is_array());
    if (first) {
      got.id = chunk["id"];
      got.model = chunk["model"];
      got.created = chunk["created"];
      first = false;
    }
    EXPECT_EQ(chunk["id"], got.id);
    EXPECT_EQ(chunk["model"], got.model);
    EXPECT_EQ(chunk["created"], got.created);
    if (chunk.contains("usage")) got.usage = chunk["usage"];
    for (const json& choice : chunk["choices"]) {
      const int index = choice["index"];
      EXPECT_FALSE(got.finish_reasons.count(index)) << "a chunk after finish_reason";
      const bool known = got.messages.count(index) > 0;
      json& message = got.messages[index];
      EXPECT_EQ(choice["delta"].contains("role"), !known) << "the role, in the first chunk only";
      for (const auto& [name, value] : choice["delta"].items()) {
        if (value.is_string() && message.contains(name)) {
          message[name] = message[name].get<std::string>() + value.get<std::string>();
        } else {
          message[name] = value;
        }
        if (name == "content") {
          got.longest_text = std::max(got.longest_text, value.get<std::string>().size());
        }
      }
      if (!choice["finish_reason"].is_null()) got.finish_reasons[index] = choice["finish_reason"];
      if (choice.contains("logprobs")) message["logprobs"] = choice["logprobs"];
    }
  }
  return got;
}

// What the Flask container sends (facts, tao-container.md).
const char kFlask[] =
    R"({"id":"chatcmpl-7","object":"chat.completion","created":1767323045,"model":"/models/x",)"
    R"("choices":[{"index":0,"message":{"role":"assistant","content":"A \"cat\" \u00e9\ud83d\ude00 é😀\n."},)"
    R"("finish_reason":"stop"}]})";

TEST(JsonToSseTest, WritesTheFlaskAnswerAsChunks) {
  const Converted converted = Convert(kFlask);
  ASSERT_TRUE(converted.status.ok()) << converted.status;
  const std::string head =
      R"({"id":"chatcmpl-7","object":"chat.completion.chunk","created":1767323045,"model":"/models/x",)"
      R"("choices":[{"index":0,"delta":)";
  EXPECT_THAT(
      Events(converted.stream),
      ElementsAre(
          head + R"({"role":"assistant","content":""},"finish_reason":null}]})",
          head + R"({"content":"A \"cat\" \u00e9\ud83d\ude00 é😀\n."},"finish_reason":null}]})",
          head + R"({},"finish_reason":"stop"}]})", "[DONE]"));
}

TEST(JsonToSseTest, StreamIsTheSameHoweverTheAnswerWasSplit) {
  const std::string answers[] = {
      kFlask,
      R"({"choices":[{"message":{"content":null,"tool_calls":[{"id":"c","function":{"name":"f\n","arguments":"{\"a\":1}"}}]}}],"id":"late"})",
      R"({"error":{"message":"é\n","type":"t"}})",
      R"({"object":"error","message":"flat"})",
      R"({"choices":[{"message":{"content":"abc"},"finish_reason":"stop"}],"usage":{"a":[1,2]}})",
  };
  for (const std::string& answer : answers) {
    const Converted whole = Convert(answer);
    EXPECT_TRUE(whole.status.ok()) << whole.status;
    std::vector<size_t> every;
    for (size_t cut = 0; cut <= answer.size(); ++cut) {
      ASSERT_EQ(Convert(answer, {cut}).stream, whole.stream) << "cut at " << cut;
      if (cut > 0) every.push_back(cut);
    }
    EXPECT_EQ(Convert(answer, every).stream, whole.stream);
  }
}

TEST(JsonToSseTest, LateOrUnusableHeadMembersGetTheStandIns) {
  const std::string choices = R"("choices":[{"index":0,"message":{"content":"x"}}])";
  const std::string big(5000, 'm');
  for (const std::string& answer :
       {"{" + choices + R"(,"id":"late","created":5,"model":"late"})", "{" + choices + "}",
        R"({"id":7,"created":"5","model":null,)" + choices + "}",
        R"({"id":null,"created":1.5,"model":{"a":1},)" + choices + "}",
        R"({"id":")" + big + R"(","created":-1,"model":")" + big + "\"," + choices + "}"}) {
    const Converted converted = Convert(answer);
    const Received got = Receive(converted.stream);
    EXPECT_TRUE(got.done) << answer.substr(0, 100);
    EXPECT_EQ(got.id, "chatcmpl-\"own\"");
    EXPECT_EQ(got.model, "own-model");
    EXPECT_EQ(got.created, 1700000000);
    EXPECT_EQ(got.messages.at(0)["content"], "x");
    EXPECT_EQ(got.finish_reasons.at(0), "stop");
  }
}

TEST(JsonToSseTest, FinishReasonAndIndexMayComeFirst) {
  const Received got = Receive(
      Convert(
          R"({"choices":[{"finish_reason":"length","index":3,"message":{"content":"a","role":"assistant"}}]})")
          .stream);
  EXPECT_EQ(got.messages.at(3)["content"], "a");
  EXPECT_EQ(got.messages.at(3)["role"], "assistant");
  EXPECT_EQ(got.finish_reasons.at(3), "length");
}

TEST(JsonToSseTest, StreamsSeveralChoicesUnderTheirIndex) {
  const Received got = Receive(Convert(R"({"choices":[
      {"index":1,"message":{"role":"assistant","content":"one"},"finish_reason":"stop"},
      {"index":0,"message":{"role":"assistant","content":"zero"},"finish_reason":"length"},
      {"message":{"role":"assistant","content":"place"}}]})")
                                   .stream);
  EXPECT_EQ(got.messages.at(1)["content"], "one");
  EXPECT_EQ(got.messages.at(0)["content"], "zero");
  EXPECT_EQ(got.messages.at(2)["content"], "place");
  EXPECT_EQ(got.finish_reasons.at(0), "length");
  EXPECT_TRUE(got.done);
}

TEST(JsonToSseTest, ToolCallsAreOneDeltaWithIndexes) {
  const Received got = Receive(Convert(R"({"choices":[{"message":{"role":"assistant","content":null,
      "tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":[1]}"}},
                    {"index":5,"id":"b","function":{"index":9}},{}]},
      "finish_reason":"tool_calls"}]})")
                                   .stream);
  const json& message = got.messages.at(0);
  EXPECT_FALSE(message.contains("content"));
  EXPECT_EQ(message["tool_calls"], json::parse(R"([{"index":0,"id":"a","type":"function",
                             "function":{"name":"f","arguments":"{\"x\":[1]}"}},
                            {"index":5,"id":"b","function":{"index":9}},{"index":2}])"));
  EXPECT_EQ(got.finish_reasons.at(0), "tool_calls");
}

TEST(JsonToSseTest, OtherMembersOfTheMessageAreNotLost) {
  const Received got =
      Receive(Convert(R"({"choices":[{"message":{"reasoning_content":"th\u0069nk","content":"say",
      "refusal":null,"audio":{"id":"x","n":[1.5,true,null,{"a":"b"}]},"annotations":[]},
      "logprobs":{"content":[{"token":"s","logprob":-0.5}]}}]})")
                  .stream);
  const json& message = got.messages.at(0);
  EXPECT_EQ(message["reasoning_content"], "think");
  EXPECT_EQ(message["content"], "say");
  EXPECT_FALSE(message.contains("refusal"));
  EXPECT_EQ(message["audio"], json::parse(R"({"id":"x","n":[1.5,true,null,{"a":"b"}]})"));
  EXPECT_EQ(message["annotations"], json::array());
  EXPECT_EQ(message["logprobs"]["content"][0]["logprob"], -0.5);
}

TEST(JsonToSseTest, NullAndEmptyContentEndNormally) {
  for (const char* message : {R"({"content":null})", R"({"content":""})", "{}"}) {
    const Received got =
        Receive(Convert(std::string(R"({"choices":[{"message":)") + message + "}]}").stream);
    EXPECT_EQ(got.messages.at(0).value("content", ""), "") << message;
    EXPECT_EQ(got.messages.at(0)["role"], "assistant");
    EXPECT_TRUE(got.done);
  }
}

TEST(JsonToSseTest, UsageComesWhenAskedFor) {
  const char* const before =
      R"({"usage":{"total_tokens":3},"choices":[{"message":{"content":"x"}}]})";
  const char* const after =
      R"({"choices":[{"message":{"content":"x"}}],"usage":{"total_tokens":3}})";
  JsonToSseOptions unasked = Options();
  unasked.include_usage = false;
  for (const char* answer : {before, after}) {
    EXPECT_EQ(Receive(Convert(answer).stream).usage, (json{{"total_tokens", 3}}));
    EXPECT_TRUE(Receive(Convert(answer, {}, unasked).stream).usage.is_null());
    const std::vector<std::string> events = Events(Convert(answer).stream);
    EXPECT_EQ(json::parse(events.at(events.size() - 2))["choices"], json::array());
    EXPECT_EQ(events.back(), "[DONE]");
  }
  EXPECT_TRUE(
      Receive(Convert(R"({"usage":null,"choices":[{"message":{"content":"x"}}]})").stream).done);
}

struct ErrorCase {
  std::string name;
  std::string answer;
  std::string error;  // as the client gets it
};

class ErrorAnswerTest : public testing::TestWithParam<ErrorCase> {};

TEST_P(ErrorAnswerTest, BecomesAnErrorEventWithoutDone) {
  const Converted converted = Convert(GetParam().answer);
  EXPECT_TRUE(converted.status.ok()) << converted.status;
  EXPECT_TRUE(converted.answered_error);
  const Received got = Receive(converted.stream);
  EXPECT_EQ(got.error, json::parse(GetParam().error));
  EXPECT_FALSE(got.done);
}

const char kNoChoices[] =
    R"({"message":"the service's answer has no choices, so it cannot be streamed","type":"server_error","param":null,"code":"upstream_reset"})";

INSTANTIATE_TEST_SUITE_P(
    Answers, ErrorAnswerTest,
    testing::ValuesIn<ErrorCase>({
        {"Object", R"({"error":{"message":"m\n","type":"internal_error"}})",
         R"({"message":"m\n","type":"internal_error"})"},
        {"IntegerCode", R"({"error":{"message":"m","code":404}})", R"({"message":"m","code":404})"},
        {"BesideChoices", R"({"error":{"message":"m"},"choices":[{"message":{"content":"x"}}]})",
         R"({"message":"m"})"},
        {"AfterChoices", R"({"choices":[{"message":{"content":"x"}}],"error":{"message":"m"}})",
         R"({"message":"m"})"},
        {"Text", R"({"error":"Unauthorized \"x\""})",
         R"({"message":"Unauthorized \"x\"","type":"server_error","param":null,"code":null})"},
        {"OtherType", R"({"error":[1,"a"]})",
         R"({"message":"[1,\"a\"]","type":"server_error","param":null,"code":null})"},
        {"Flat", R"({"object":"error","message":"flat","code":400})",
         R"({"message":"flat","type":"server_error","param":null,"code":null})"},
        {"EmptyObject", "{}", kNoChoices},
        {"EmptyChoices", R"({"id":"x","choices":[]})", kNoChoices},
        {"NullChoices", R"({"choices":null,"error":null})", kNoChoices},
        {"ObjectChoices", R"({"choices":{"message":{"content":"x"}}})", kNoChoices},
    }),
    [](const auto& test) { return test.param.name; });

struct BrokenCase {
  std::string name;
  std::string answer;
  std::string problem;
};

class BrokenAnswerTest : public testing::TestWithParam<BrokenCase> {};

TEST_P(BrokenAnswerTest, IsAnErrorAtAnEventBoundary) {
  const std::string& answer = GetParam().answer;
  std::vector<size_t> every;
  for (size_t i = 1; i < answer.size(); ++i) every.push_back(i);
  for (const std::vector<size_t>& cuts : {std::vector<size_t>{}, every}) {
    const Converted converted = Convert(answer, cuts);
    EXPECT_EQ(base::TokenOf(converted.status), base::ErrorToken::kUpstreamReset);
    EXPECT_THAT(std::string(base::ToStd(converted.status.message())),
                HasSubstr(GetParam().problem));
    EXPECT_FALSE(Receive(converted.stream).done);
    EXPECT_EQ(converted.stream, Convert(answer).stream) << "what came before must not depend on it";
  }
}

INSTANTIATE_TEST_SUITE_P(
    Answers, BrokenAnswerTest,
    testing::ValuesIn<BrokenCase>({
        {"Empty", "", "the service's answer is empty"},
        {"Html", "<html>", "the service's answer is not valid JSON: at byte 0"},
        {"Array", "[]", "at byte 0"},
        {"CutInContent", R"({"choices":[{"message":{"content":"abc)", "it ends after"},
        {"CutAfterContent", R"({"choices":[{"message":{"content":"abc"})", "it ends after"},
        {"BadEscape", R"({"choices":[{"message":{"content":"a\xb"}}]})", "expected one of"},
        {"LoneSurrogate", R"({"choices":[{"message":{"content":"a\ud800"}}]})", "surrogate"},
        {"NotUtf8", "{\"choices\":[{\"message\":{\"content\":\"\xff\"}}]}", "UTF-8"},
        {"NotUtf8InAFirstPiece", "{\"choices\":[{\"message\":{\"content\":\"ab\xff\"}}]}", "UTF-8"},
        {"NaN", R"({"choices":[{"logprobs":NaN}]})", "expected a value"},
        {"Trailing", R"({"choices":[{"message":{"content":"a"}}]} x)", "nothing after the object"},
        {"ChoicesTwice", R"({"choices":[{"message":{"content":"a"}}],"choices":[]})",
         "gives \"choices\" twice"},
        {"MessageTwice", R"({"choices":[{"message":{},"message":{}}]})", "gives the \"message\""},
        {"ContentTwice", R"({"choices":[{"message":{"content":"a","content":"b"}}]})",
         "gives the \"content\""},
        {"NoMessage", R"({"choices":[{"index":0,"text":"x"}]})", "has no message in choices[0]"},
        {"NullMessage", R"({"choices":[{"message":null}]})", "has no message in choices[0]"},
        {"ChoiceNumber", R"({"choices":[1]})", "has a choice that is not an object"},
        {"ChoiceArray", R"({"choices":[[]]})", "has a choice that is not an object"},
        {"ChoiceNull", R"({"choices":[null]})", "has a choice that is not an object"},
        {"ChoiceString", R"({"choices":["x"]})", "has a choice that is not an object"},
    }),
    [](const auto& test) { return test.param.name; });

TEST(JsonToSseTest, RefusesToHoldAHugeValue) {
  JsonToSse sse(Options());
  std::string out;
  ASSERT_TRUE(sse.Feed(R"({"choices":[{"message":{"tool_calls":[{"id":")", out).ok());
  const std::string piece(1 << 20, 'x');
  absl::Status status;
  int fed = 0;
  while (status.ok() && fed < 100) {
    status = sse.Feed(piece, out);
    ++fed;
  }
  EXPECT_LE(fed, 5);
  EXPECT_EQ(base::TokenOf(status), base::ErrorToken::kUpstreamReset);
  EXPECT_THAT(std::string(base::ToStd(status.message())), HasSubstr("\"tool_calls\" of more than"));
}

TEST(JsonToSseTest, IgnoresHugeValuesThatItDoesNotNeed) {
  const std::string answer = R"({"x":[{"y":")" + std::string(20 << 20, 'z') +
                             R"("}],"choices":[{"message":{"content":"a"}}]})";
  EXPECT_TRUE(Receive(Convert(answer).stream).done);
}

// A video: what is written for a piece is about the piece, so memory does not grow with the answer.
TEST(JsonToSseTest, StreamsAVideoInBoundedMemory) {
  JsonToSse sse(Options());
  std::string out;
  ASSERT_TRUE(
      sse.Feed(R"({"id":"v","choices":[{"index":0,"message":{"content":"data:video/mp4;base64,)",
               out)
          .ok());
  const std::string piece(64 * 1024, 'A');
  size_t total = 0;
  for (int i = 0; i < 1024; ++i) {
    out.clear();
    ASSERT_TRUE(sse.Feed(piece, out).ok());
    ASSERT_LE(out.size(), piece.size() + kSseChunkBytes + 2048);
    total += out.size();
  }
  EXPECT_LT(total, size_t{1024} * 64 * 1024 * 102 / 100) << "more than 2 % around the content";
  out.clear();
  ASSERT_TRUE(sse.Feed(R"("},"finish_reason":"stop"}]})", out).ok());
  ASSERT_TRUE(sse.Finish(out).ok());
  EXPECT_THAT(out, testing::EndsWith("data: [DONE]\n\n"));
}

// Chunk borders in the middle of what must not be split: the text comes out as it went in.
TEST(JsonToSseTest, ChunkBordersRespectEscapesAndCharacters) {
  for (const std::string unit : {"\\n", "\\u00e9", "\\ud83d\\ude00", "é", "€", "😀"}) {
    for (size_t shift = 0; shift < 13; ++shift) {
      std::string raw(kSseChunkBytes - shift, 'x');
      for (int i = 0; i < 8; ++i) raw += unit;
      const std::string answer = R"({"choices":[{"message":{"content":")" + raw + R"("}}]})";
      const Converted converted = Convert(answer);
      const Received got = Receive(converted.stream);
      EXPECT_EQ(got.messages.at(0)["content"], json::parse("\"" + raw + "\"")) << unit << shift;
      EXPECT_LE(got.longest_text, kSseChunkBytes);
      ASSERT_EQ(Convert(answer, {answer.size() - 20, answer.size() - 13}).stream, converted.stream);
    }
  }
}

std::string RandomText(std::mt19937& random) {
  static constexpr const char* kUnits[] = {"a",    "b ",  "\\n",     "\\\"",
                                           "\\\\", "\\/", "\\u0041", "\\ud83d\\ude00",
                                           "é",    "€",   "😀",       "AAAAAAAAAAAAAAAAAAAA"};
  std::string raw;
  for (int i = std::uniform_int_distribution<int>(0, 6000)(random); i > 0; --i) {
    raw += kUnits[random() % std::size(kUnits)];
  }
  return raw;
}

TEST(JsonToSseTest, AnEmptyTextIsSaidWhereverItStands) {
  for (const char* const message :
       {R"({"content":"","reasoning":"r"})", R"({"reasoning":"r","content":""})",
        R"({"reasoning":"","content":"c"})", R"({"content":""})"}) {
    const Converted converted =
        Convert(std::string(R"({"choices":[{"message":)") + message + "}]}");
    ASSERT_TRUE(converted.status.ok()) << converted.status;
    const json want = json::parse(message);
    const Received got = Receive(converted.stream);
    for (const auto& [name, text] : want.items()) {
      ASSERT_TRUE(got.messages.at(0).contains(name)) << message;
      EXPECT_EQ(got.messages.at(0)[name], text) << message;
    }
  }
}

// Both ways to the same text: parse the answer whole, or put its stream together.
TEST(JsonToSseTest, StreamSaysWhatTheAnswerSays) {
  const char* const given = std::getenv("TAO_TEST_SEED");
  const auto seed = given != nullptr ? static_cast<uint32_t>(std::strtoul(given, nullptr, 10))
                                     : std::random_device{}();
  std::printf("TAO_TEST_SEED=%u\n", seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 200; ++round) {
    std::string answer = R"({"id":"i","created":9,"model":"m","choices":[)";
    const int choices = 1 + static_cast<int>(random() % 3);
    for (int i = 0; i < choices; ++i) {
      answer += i > 0 ? "," : "";
      answer += R"({"message":{"role":"assistant","reasoning":")" + RandomText(random) +
                R"(","content":")" + RandomText(random) + R"("},"finish_reason":"length"})";
    }
    answer += "]}";
    std::vector<size_t> cuts;
    for (size_t at = random() % 5000; at < answer.size(); at += random() % 5000) cuts.push_back(at);

    const Converted converted = Convert(answer, cuts);
    ASSERT_TRUE(converted.status.ok()) << converted.status;
    ASSERT_EQ(converted.stream, Convert(answer).stream);
    const Received got = Receive(converted.stream);
    const json whole = json::parse(answer);
    ASSERT_TRUE(got.done);
    for (int i = 0; i < choices; ++i) {
      const json& message = whole["choices"][static_cast<size_t>(i)]["message"];
      ASSERT_EQ(got.messages.at(i)["content"], message["content"]);
      ASSERT_EQ(got.messages.at(i).value("reasoning", ""), message["reasoning"]);
      ASSERT_EQ(got.finish_reasons.at(i), "length");
    }
  }
}

}  // namespace
}  // namespace tao::chat
