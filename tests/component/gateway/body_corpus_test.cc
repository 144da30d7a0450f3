// The part of the corpus that bodies, expectations, upgrades and selectors decide (C62, C63, C66 to
// C76): one table, against the listening gateway, each request in one write, byte by byte, and cut
// at every CR and LF. A long one is cut in a few places. What is refused reaches no backend; what
// is taken arrives there byte for byte.

#include <absl/strings/str_format.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "tests/component/gateway/gateway_harness.h"
#include "tests/unit/gateway/http/corpus.h"

namespace tao::gateway {
namespace {

using namespace std::string_literals;  // NULs in the middle of a literal count
using Cut = std::function<std::vector<std::string_view>(std::string_view)>;

struct BodyCase {
  std::string name;
  std::string bytes;
  int status = 200;
  std::string token = {};  // X-TAO-Error
  // Taken: the body that the backend gets. Of a refused one nothing arrives there.
  std::string body = {};
  bool closes = false;                  // the gateway closes after it, though nobody asked
  int continues = 0;                    // at most so many 100s before the answer
  std::vector<std::string> lacks = {};  // not in what the backend gets
};

const std::string kPost =
    "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n";
const std::string kGood = R"({"model":"m","messages":[]})";

std::string Repeated(std::string_view text, size_t times) {
  std::string out;
  out.reserve(text.size() * times);
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

// ASCII in another encoding: `zeros_before` and `zeros_after` each byte.
std::string Widened(std::string_view text, size_t zeros_before, size_t zeros_after) {
  std::string out;
  for (const char c : text) {
    out.append(zeros_before, '\0').append(1, c).append(zeros_after, '\0');
  }
  return out;
}

class Table {
 public:
  std::vector<BodyCase> Take() { return std::move(rows_); }

  // The body `json`, with a length; taken.
  void Good(const std::string& name, const std::string& json, const std::string& fields = "") {
    rows_.push_back({.name = name, .bytes = Post(json, fields), .body = json});
  }
  // The same, refused.
  void Bad(const std::string& name, const std::string& json,
           const std::string& token = "bad_request", int status = 400,
           const std::string& fields = "") {
    rows_.push_back({.name = name, .bytes = Post(json, fields), .status = status, .token = token});
  }
  void Add(BodyCase row) { rows_.push_back(std::move(row)); }

 private:
  std::vector<BodyCase> rows_;
};

void AddExpectations(Table& table) {
  const std::string length = "Content-Length: 27\r\n\r\n";
  table.Add({.name = "C62_BodySentAtOnce",
             .bytes = kPost + "Expect: 100-continue\r\n" + length + kGood,
             .body = kGood,
             .continues = 1,
             .lacks = {"Expect", "expect"}});
  table.Add({.name = "C62_Chunked",
             .bytes = kPost + "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n1b\r\n" +
                      kGood + "\r\n0\r\n\r\n",
             .body = kGood,
             .continues = 1});
  table.Add({.name = "C62_UnknownService_BodyWithheld",
             .bytes = kPost + "Expect: 100-continue\r\nX-TAO-Job-ID: nobody\r\n" + length,
             .status = 404,
             .token = "service_not_found",
             .closes = true});
  table.Add(
      {.name = "C62_WrongType_BodyWithheld",
       .bytes = "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Type: text/plain\r\n"
                "Expect: 100-continue\r\n" +
                length,
       .status = 415,
       .token = "unsupported_media_type",
       .closes = true});
  for (const std::string& fields :
       {"Expect: 200-ok\r\n"s, "Expect: 100-continue, x\r\n"s, "Expect: \r\n"s,
        "Expect: 100-continue\r\nExpect: 100-continue\r\n"s, "Expect: 100-continue;q=1\r\n"s}) {
    table.Add({.name = "C63_" + fields,
               .bytes = kPost + fields + length + kGood,
               .status = 417,
               .token = "bad_request",
               .closes = true});
  }
  table.Add({.name = "C63_Http10",
             .bytes = "POST /v1/chat/completions HTTP/1.0\r\nContent-Type: application/json\r\n"
                      "Expect: 100-continue\r\n" +
                      length + kGood,
             .body = kGood,
             .closes = true});
}

void AddUpgrades(Table& table) {
  const std::string websocket =
      "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: "
      "dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
  for (
      const std::string& fields :
      {"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings\r\n"s,
       "upgrade: H2C\r\nhttp2-settings: AAMAAABkAAQAAP__\r\nconnection: upgrade, http2-settings\r\n"s,
       "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"s, websocket}) {
    table.Add({.name = "C66C67_" + fields,
               .bytes = Post(kGood, fields),
               .body = kGood,
               .lacks = {"pgrade:", "ettings:", "onnection"}});
  }
  table.Add({.name = "C67_Realtime",
             .bytes = Get("/v1/realtime?model=m", websocket),
             .status = 404,
             .token = "bad_request"});
  table.Add({.name = "C67_ChatByGet",
             .bytes = Get("/v1/chat/completions", websocket),
             .status = 405,
             .token = "bad_request"});
}

void AddEncodings(Table& table) {
  const std::string gzip =
      "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3"s;
  for (const std::string& coding : {"gzip"s, "GZIP"s, "x-gzip"s, "deflate"s, "br"s, "zstd"s,
                                    "identity, gzip"s, "gzip, identity"s, ""s}) {
    table.Bad("C68_" + coding, gzip, "unsupported_media_type", 415,
              "Content-Encoding: " + coding + "\r\n");
  }
  table.Bad("C68_TwoLines", gzip, "unsupported_media_type", 415,
            "Content-Encoding: identity\r\nContent-Encoding: gzip\r\n");
  table.Bad("C68_Unannounced", gzip);
  table.Good("C68_Identity", kGood, "Content-Encoding: Identity\r\n");
  table.Add({.name = "C68_Bomb",
             .bytes = kPost + "Content-Encoding: gzip\r\nContent-Length: 1000000000\r\n\r\n" + gzip,
             .status = 415,
             .token = "unsupported_media_type",
             .closes = true});
  for (const std::string& length : {"10737418240"s, "2147483649"s, "9223372036854775807"s}) {
    table.Add({.name = "C69_" + length,
               .bytes = kPost + "Content-Length: " + length + "\r\n\r\n" + kGood,
               .status = 413,
               .token = "body_too_large",
               .closes = true});
  }
}

void AddKeys(Table& table) {
  table.Bad("C70_ModelTwice", R"({"model":"m","model":"other"})");
  table.Bad("C70_TheSameModelTwice", R"({"model":"m","model":"m"})");
  table.Bad("C70_EscapedTheSecondTime", R"({"model":"m","mod\u0065l":"other"})");
  table.Bad("C70_EscapedTheFirstTime", R"({"\u006dodel":"m","messages":[],"model":"other"})");
  table.Bad("C70_SecondIsNull", R"({"model":"m","model":null})");
  table.Bad("C70_StreamTwice", R"({"model":"m","stream":false,"stream":true})");
  table.Good("C71_EscapedName", R"({"mod\u0065l":"m"})");
  table.Good("C71_EscapedValue", R"({"model":"\u006d"})");
  table.Bad("C71_NestedOnly", R"({"messages":[{"model":"m"}]})", "ambiguous_service");
  table.Good("C71_NestedToo", R"({"a":{"model":"other","model":1},"model":"m"})");
  table.Bad("C71_OtherCase", R"({"Model":"m"})", "ambiguous_service");
  table.Bad("C71_SpaceInTheName", R"({"model ":"m"})", "ambiguous_service");
  table.Bad("C71_NulInTheName", R"({"model\u0000":"m"})", "ambiguous_service");
}

void AddTexts(Table& table) {
  const struct {
    std::string name;
    std::string body;
  } rows[] = {
      {"Utf16Le", Widened(kGood, 0, 1)},
      {"Utf16Be", Widened(kGood, 1, 0)},
      {"Utf16LeBom", "\xff\xfe"s + Widened(kGood, 0, 1)},
      {"Utf16BeBom", "\xfe\xff"s + Widened(kGood, 1, 0)},
      {"Utf32Le", Widened(kGood, 0, 3)},
      {"Utf32Be", Widened(kGood, 3, 0)},
      {"Bom", "\xef\xbb\xbf" + kGood},
      {"Latin1", "{\"model\":\"m\",\"a\":\"\xe4\"}"},
      {"OverlongSlash", "{\"model\":\"m\",\"a\":\"\xc0\xaf\"}"},
      {"EncodedSurrogate", "{\"model\":\"m\",\"a\":\"\xed\xa0\x80\"}"},
      {"BeyondUnicode", "{\"model\":\"m\",\"a\":\"\xf4\x90\x80\x80\"}"},
      {"CutCharacter", "{\"model\":\"m\",\"a\":\"\xe2\x82\"}"},
      {"BadUtf8InAName", "{\"model\":\"m\",\"\xff\":1}"},
      {"NaN", R"({"model":"m","a":NaN})"},
      {"Infinity", R"({"model":"m","a":-Infinity})"},
      {"TrailingBytes", kGood + "x"},
      {"TrailingNul", kGood + "\0"s},
      {"TwoObjects", kGood + kGood},
      {"Comment", R"({"model":"m"/**/})"},
      {"LineComment", "{\"model\":\"m\"//\n}"},
      {"SingleQuotes", R"({'model':'m'})"},
      {"BareName", R"({model:"m"})"},
      {"TrailingComma", R"({"model":"m",})"},
      {"LineEndInAString", "{\"model\":\"m\",\"a\":\"\n\"}"},
      {"NulInAString", "{\"model\":\"m\",\"a\":\"\0\"}"s},
      {"LeadingZero", R"({"model":"m","a":01})"},
      {"Hexadecimal", R"({"model":"m","a":0x1})"},
      {"BadEscape", R"({"model":"m","a":"\x41"})"},
      {"CutShort", kGood.substr(0, kGood.size() - 1)},
      {"Empty", ""},
      {"SpaceOnly", " \r\n\t"},
      {"Array", "[" + kGood + "]"},
      {"String", R"("model")"},
      {"Number", "1"},
      {"Null", "null"},
      {"VerticalTab", "\v" + kGood},
  };
  for (const auto& row : rows) table.Bad("C72_" + row.name, row.body);
  table.Good("C72_SpaceAround", " \r\n\t" + kGood + "\r\n ");
  table.Good("C72_Pretty", "{\r\n  \"messages\": [],\r\n  \"model\": \"m\"\r\n}\r\n");
  table.Good("C72_Utf8", "{\"model\":\"m\",\"a\":\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"}");
}

void AddSizes(Table& table) {
  const std::string head = R"({"model":"m","a":)";
  table.Bad("C73_BracketsOnly", Repeated("[", 100'000));
  table.Bad("C73_Arrays", head + Repeated("[", 100'000) + Repeated("]", 100'000) + "}");
  table.Bad("C73_Objects", head + Repeated(R"({"a":)", 100'000));
  table.Good("C73_Depth128", head + Repeated("[", 127) + Repeated("]", 127) + "}");
  table.Bad("C73_Depth129", head + Repeated("[", 128) + Repeated("]", 128) + "}");
  table.Good("C73_LongString", head + "\"" + std::string(50'000'000, 'x') + "\"}");
  table.Good("C73_LongEscapedString", head + "\"" + Repeated("\\u00e4", 1'000'000) + "\"}");
  std::string keys = R"({"model":"m")";
  for (int i = 0; i < 1'000'000; ++i) keys += absl::StrFormat(",\"%d\":1", i);
  table.Good("C73_ManyKeys", keys + "}");
  table.Good("C73_ManyEqualKeys", R"({"model":"m")" + Repeated(R"(,"a":1)", 1'000'000) + "}");
  table.Good("C73_ManyElements", head + "[1" + Repeated(",1", 1'000'000) + "]}");
  table.Bad("C73_LongNumber", head + Repeated("9", 1'000'000) + "}");
  table.Bad("C73_LongFraction", head + "0." + Repeated("9", 1'000'000) + "}");
  table.Bad("C73_LongExponent", head + "1e" + Repeated("9", 1'000'000) + "}");
  table.Good("C73_LargeExponent", head + "1e999999999}");
  table.Bad("C73_LongName", "{\"" + std::string(1'000'000, 'a') + R"(":1,"model":"m"})");
}

void AddModels(Table& table) {
  for (const std::string& value :
       {"1"s, "1.5"s, "null"s, "true"s, "{}"s, "[]"s, R"(["m"])"s, R"({"model":"m"})"s,
        R"("\ud800")"s, R"("\udc00")"s, R"("\ud800\u0041")"s}) {
    table.Bad("C74_" + value, R"({"model":)" + value + "}");
  }
  table.Bad("C74_LongModel", R"({"model":")" + std::string(1'000'000, 'm') + "\"}");
  for (const std::string& value :
       {R"("\u006d\r\nX-Evil: y")"s, R"("../x")"s, R"("m\u0000")"s, R"("nobody\"},{\"a\":\"")"s,
        R"("\u2028<script>")"s, R"("\u007f\u001b[31m")"s, R"("M")"s, R"(" m")"s, R"("")"s}) {
    table.Bad("C74_" + value, R"({"model":)" + value + "}", "model_not_found", 404);
  }
}

void AddSelectors(Table& table) {
  const std::string conflict = "selector_conflict";
  const std::string job(kJob), other(kOtherJob);
  table.Bad("C75_HeaderAgainstModel", R"({"model":"other"})", conflict, 400, HeaderFor(job));
  table.Good("C75_HeaderAndUnknownModel", R"({"model":"gpt-4"})", HeaderFor(job));
  table.Bad("C75_TwoHeaders", kGood, conflict, 400, HeaderFor(job) + HeaderFor(other));
  table.Bad("C75_TwoHeadersReversed", kGood, conflict, 400, HeaderFor(other) + HeaderFor(job));
  table.Good("C75_TheSameHeaderTwice", kGood, HeaderFor(job) + HeaderFor(job));
  table.Bad("C75_EmptyHeader", kGood, "bad_request", 400, "X-TAO-Job-ID: \r\n");
  table.Bad("C75_ListInAHeader", kGood, "service_not_found", 404,
            "X-TAO-Job-ID: " + job + ", " + job + "\r\n");
  table.Bad("C75_ArchAgainstJob", kGood, conflict, 400,
            HeaderFor(job) + "X-TAO-Network-Arch: other-arch\r\n");
  const auto with_query = [&](const std::string& name, const std::string& query, int status,
                              const std::string& token) {
    table.Add({.name = name,
               .bytes = Post(kGood, "", "/v1/chat/completions?" + query),
               .status = status,
               .token = token,
               .body = status == 200 ? kGood : ""});
  };
  with_query("C75_QueryAgainstModel", "job_id=" + other, 400, conflict);
  with_query("C75_TwoJobsInTheQuery", "job_id=" + job + "&job_id=" + other, 400, "bad_request");
  with_query("C75_TheSameJobTwice", "job_id=" + job + "&job_id=" + job, 400, "bad_request");
  with_query("C75_ModelInTheQueryIsNone", "model=a&model=b", 200, "");
  table.Add({.name = "C75_PathAgainstModel",
             .bytes = Post(kGood, "", "/services/" + other + "/v1/chat/completions"),
             .status = 400,
             .token = conflict});

  std::string tiny;
  std::string text = "{" + std::string(100'000, ' ') + kGood.substr(1);
  for (const char c : text) tiny += "1\r\n"s + c + "\r\n";
  table.Add({.name = "C76_ChunksOfOneByte",
             .bytes = kPost + "Transfer-Encoding: chunked\r\n\r\n" + tiny + "0\r\n\r\n",
             .body = std::move(text)});
}

const std::vector<BodyCase>& Cases() {
  static const std::vector<BodyCase> cases = [] {
    Table table;
    AddExpectations(table);
    AddUpgrades(table);
    AddEncodings(table);
    AddKeys(table);
    AddTexts(table);
    AddSizes(table);
    AddModels(table);
    AddSelectors(table);
    return table.Take();
  }();
  return cases;
}

// Behind the first bytes of a long request, in its middle, and before its last bytes.
std::vector<std::string_view> InFewPieces(std::string_view bytes) {
  const size_t body = bytes.find("\r\n\r\n") + 4;
  return http::CutAt(bytes, {1, body - 2, body - 1, body, body + 1, body + 2, body + 17,
                             (body + bytes.size()) / 2, bytes.size() - 2, bytes.size() - 1});
}

constexpr size_t kLong = 4096;

class BodyCorpusTest : public testing::Test {
 protected:
  BodyCorpusTest()
      : upstream_([this](FakeUpstream::Peer& peer) {
          while (true) {
            RawMessage request = peer.socket().ReadMessage();
            if (!request.head.empty()) Record(request);
            if (!request.whole ||
                !peer.Write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                            "Content-Length: 2\r\n\r\n{}")) {
              return;
            }
          }
        }),
        harness_({Named(kJob, "m"), Named(kOtherJob, "other")}) {}

  routing::Service Named(std::string_view job_id, const std::string& name) const {
    routing::Service service = ServiceAt(upstream_.port(), job_id, name + "-arch");
    service.served_names = {name};
    return service;
  }

  void Record(const RawMessage& request) {
    base::MutexLock lock(mutex_);
    requests_.push_back(request);
  }
  std::vector<RawMessage> TakeRequests() {
    base::MutexLock lock(mutex_);
    return std::exchange(requests_, {});
  }

  void Check(const BodyCase& row, const Cut& cut) {
    SCOPED_TRACE(row.name.substr(0, 100));
    RawSocket client = harness_.Connect();
    for (const std::string_view piece : cut(row.bytes)) {
      if (!client.Write(piece)) break;  // refused, and closed: the rest is not wanted
    }
    RawMessage answer = client.ReadMessage();
    int continues = 0;
    for (; answer.status() == 100; ++continues) answer = client.ReadMessage();
    EXPECT_LE(continues, row.continues);
    ASSERT_EQ(answer.status(), row.status) << answer.head << answer.body;
    EXPECT_TRUE(answer.whole);
    EXPECT_EQ(answer.Field("X-TAO-Error").value_or(""), row.token) << answer.body;
    EXPECT_EQ(answer.head.find("X-Evil"), std::string::npos) << answer.head;
    if (row.status >= 400) CheckError(answer);
    const bool closed = answer.Field("Connection") == "close";
    EXPECT_TRUE(closed || !row.closes) << answer.head;
    if (!closed) client.ShutdownWrite();
    EXPECT_EQ(client.ReadToEnd(), "") << "more on the wire than one answer";
    EXPECT_EQ(client.end(), RawSocket::End::kFin);
    CheckRequests(row);
  }

  // Whatever the request held, the error is JSON in the shape of OpenAI's.
  static void CheckError(const RawMessage& answer) {
    const nlohmann::json body = nlohmann::json::parse(answer.body, nullptr, false);
    ASSERT_TRUE(body.is_object()) << answer.body;
    EXPECT_TRUE(body["error"]["message"].is_string()) << answer.body;
    EXPECT_EQ(body["error"]["code"], answer.Field("X-TAO-Error")) << answer.body;
    EXPECT_LT(answer.body.size(), 4096U);
  }

  void CheckRequests(const BodyCase& row) {
    const std::vector<RawMessage> requests = TakeRequests();
    ASSERT_EQ(requests.size(), row.status == 200 ? 1U : 0U);
    if (row.status != 200) return;
    EXPECT_TRUE(requests[0].whole);
    EXPECT_TRUE(requests[0].body == row.body) << requests[0].body.substr(0, 200);
    for (const std::string& text : row.lacks) {
      EXPECT_EQ(requests[0].head.find(text), std::string::npos) << requests[0].head;
    }
  }

  void CheckAll(const Cut& cut, const Cut& cut_long) {
    for (const BodyCase& row : Cases()) Check(row, row.bytes.size() > kLong ? cut_long : cut);
  }

  base::Mutex mutex_;
  std::vector<RawMessage> requests_ ABSL_GUARDED_BY(mutex_);
  FakeUpstream upstream_;
  GatewayHarness harness_;
};

TEST_F(BodyCorpusTest, InOnePiece) { CheckAll(http::OnePiece, http::OnePiece); }

TEST_F(BodyCorpusTest, ByteByByte) { CheckAll(http::ByteByByte, InFewPieces); }

TEST_F(BodyCorpusTest, CutBetweenCrAndLf) {
  for (const BodyCase& row : Cases()) {
    if (row.bytes.size() <= kLong) Check(row, http::CutBetweenCrAndLf);
  }
}

// C62: the 100 comes once the body is waited for, and at once; then the answer, and nothing else.
TEST_F(BodyCorpusTest, C62_OneContinueAndThenTheAnswer) {
  RawSocket client = harness_.Connect();
  for (int i = 0; i < 2; ++i) {
    client.Write(kPost + "Expect: 100-continue\r\nContent-Length: 27\r\n\r\n");
    const absl::Time asked = absl::Now();
    EXPECT_EQ(client.ReadThrough("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    EXPECT_LT(absl::Now() - asked, absl::Seconds(1)) << "meant to take less than 100 ms";
    client.Write(kGood);
    EXPECT_EQ(client.ReadMessage().status(), 200);
  }
  EXPECT_TRUE(client.IsSilent(0));
}

// C69: the limit is crossed in the middle, while the backend already has the beginning.
TEST(BodyLimit, C69_CrossedInChunksEndsTheRequestInTheBackend) {
  std::atomic<bool> whole = false;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    if (peer.ReadRequest().whole) whole = true;
  });
  GatewayConfig config = GatewayHarness::Config();
  config.max_body_bytes = 256 * 1024;
  GatewayHarness harness({ServiceAt(upstream.port())}, config);
  RawSocket client = harness.Connect();
  client.Write(kPost + HeaderFor(kJob) + "Transfer-Encoding: chunked\r\n\r\n");
  client.Write("20000\r\n{" + std::string(0x20000 - 1, ' ') + "\r\n");
  const absl::Time limit = absl::Now() + kTestLimit;
  while (upstream.connections() == 0 && absl::Now() < limit) std::this_thread::yield();
  client.Write("20001\r\n" + std::string(0x20001, ' '));
  const RawMessage answer = client.ReadMessage();
  EXPECT_EQ(answer.status(), 413) << answer.head;
  EXPECT_EQ(answer.Field("X-TAO-Error"), "body_too_large");
  EXPECT_EQ(answer.Field("Connection"), "close");
  while (upstream.finished() < 1 && absl::Now() < limit) std::this_thread::yield();
  EXPECT_EQ(upstream.connections(), 1);
  EXPECT_EQ(upstream.finished(), 1);
  EXPECT_FALSE(whole);
}

}  // namespace
}  // namespace tao::gateway
