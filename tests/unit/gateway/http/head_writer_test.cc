#include "gateway/http/head_writer.h"

#include "gateway/http/head_parser.h"
#include "gateway/http/http_date.h"

#include <gtest/gtest.h>

namespace tao::http {
namespace {

using namespace std::string_literals;

TEST(HeadWriter, WritesAnAnswer) {
  std::string out = "before";
  HttpDate date;
  HeadWriter head(out);
  head.StatusLine(503);
  head.Field(FieldId::kDate, date.Format(absl::FromUnixSeconds(784111777)));
  head.Field(FieldId::kRetryAfter, uint64_t{5});
  head.Field("x-custom", "\x80 a");
  head.ProxyStatus("tao-gateway", "connection_refused");
  head.ContentLength(UINT64_MAX);
  head.ConnectionClose();
  ASSERT_TRUE(head.End());
  EXPECT_EQ(out,
            "beforeHTTP/1.1 503 Service Unavailable\r\n"
            "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            "Retry-After: 5\r\n"
            "x-custom: \x80 a\r\n"
            "Proxy-Status: tao-gateway; error=connection_refused\r\n"
            "Content-Length: 18446744073709551615\r\n"
            "Connection: close\r\n\r\n");
}

TEST(HeadWriter, WritesARequestWithOurVersion) {
  std::string out;
  HeadWriter head(out);
  head.RequestLine(Method::kPost, "/base", "/v1/x%2f", "a=%zz&");
  head.Field(FieldId::kHost, "127.0.0.1:8080");
  head.Via(Version::kHttp10, "tao-gateway");
  head.Chunked();
  ASSERT_TRUE(head.End());
  EXPECT_EQ(out,
            "POST /base/v1/x%2f?a=%zz& HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
            "Via: 1.0 tao-gateway\r\nTransfer-Encoding: chunked\r\n\r\n");
}

TEST(HeadWriter, AnEmptyQueryIsKept) {
  std::string out;
  HeadWriter head(out);
  head.RequestLine(Method::kGet, "", "/", "");
  ASSERT_TRUE(head.End());
  EXPECT_EQ(out, "GET /? HTTP/1.1\r\n\r\n");
}

// What could split or smuggle a message withdraws the whole head.
TEST(HeadWriter, NothingIsWrittenWhenAnythingIsRefused) {
  using Write = void (*)(HeadWriter&);
  const std::vector<std::pair<std::string, Write>> cases = {
      {"CRLF in a value", [](HeadWriter& head) { head.Field("X", "a\r\nY: b"); }},
      {"LF in a value", [](HeadWriter& head) { head.Field("X", "a\n"); }},
      {"CR in a value", [](HeadWriter& head) { head.Field(FieldId::kXRequestId, "\r"); }},
      {"NUL in a value", [](HeadWriter& head) { head.Field("X", "a\0b"s); }},
      {"control in a value", [](HeadWriter& head) { head.Field("X", "\x7f"); }},
      {"space in a name", [](HeadWriter& head) { head.Field("X Y", "a"); }},
      {"colon in a name", [](HeadWriter& head) { head.Field("X:", "a"); }},
      {"no name", [](HeadWriter& head) { head.Field("", "a"); }},
      {"an id without a name", [](HeadWriter& head) { head.Field(FieldId::kOther, "a"); }},
      {"LF in Via", [](HeadWriter& head) { head.Via(Version::kHttp11, "a\nb"); }},
      {"space in Via", [](HeadWriter& head) { head.Via(Version::kHttp11, "a b"); }},
      {"no name in Via", [](HeadWriter& head) { head.Via(Version::kHttp11, ""); }},
      {"LF in Proxy-Status", [](HeadWriter& head) { head.ProxyStatus("a", "b\n"); }},
      {"parameter in Proxy-Status", [](HeadWriter& head) { head.ProxyStatus("a; x=y", "b"); }},
      {"status 99", [](HeadWriter& head) { head.StatusLine(99); }},
      {"status 600", [](HeadWriter& head) { head.StatusLine(600); }},
      {"space in a path",
       [](HeadWriter& head) { head.RequestLine(Method::kGet, "", "/a b", std::nullopt); }},
      {"LF in a query", [](HeadWriter& head) { head.RequestLine(Method::kGet, "", "/", "a\nb"); }},
      {"CR in a base path",
       [](HeadWriter& head) { head.RequestLine(Method::kGet, "/\r", "/", std::nullopt); }},
      {"relative base path",
       [](HeadWriter& head) { head.RequestLine(Method::kGet, "a", "/", std::nullopt); }},
      {"relative path",
       [](HeadWriter& head) { head.RequestLine(Method::kGet, "", "a", std::nullopt); }},
      {"no path", [](HeadWriter& head) { head.RequestLine(Method::kGet, "", "", std::nullopt); }},
  };
  for (const auto& [name, write] : cases) {
    std::string out = "before";
    HeadWriter head(out);
    head.Field("X-Good", "1");
    write(head);
    head.Field("X-Also-Good", "1");
    EXPECT_FALSE(head.End()) << name;
    EXPECT_EQ(out, "before") << name;
  }
}

TEST(HeadWriter, KeptFieldsAreWrittenWithoutTheDroppedOnes) {
  const std::string bytes =
      "HTTP/1.1 200 OK\r\nA:1\r\nX-Request-Id: u\r\nB:  2 \r\nx-request-id: v\r\n\r\n";
  ResponseHeadParser parser;
  ASSERT_EQ(parser.Parse(bytes), ParseState::kComplete);
  const FieldList& fields = parser.head().fields;
  FieldMask kept;
  for (size_t i = 0; i < fields.size(); ++i) kept.Keep(i);
  kept.DropAll(fields, FieldId::kXRequestId);
  kept.DropAll(fields, FieldId::kHost);
  std::string out;
  HeadWriter head(out);
  head.Fields(fields, kept);
  ASSERT_TRUE(head.End());
  EXPECT_EQ(out, "A: 1\r\nB: 2\r\n\r\n");
}

TEST(HeadWriter, EveryStatusOfOursHasAPhrase) {
  for (const int status : {200, 400, 404, 405, 408, 411, 413, 414, 415, 417, 421, 431, 500, 501,
                           502, 503, 504, 505, 508}) {
    EXPECT_NE(ReasonPhrase(status), "Unknown") << status;
  }
  EXPECT_EQ(ReasonPhrase(299), "Unknown");
}

TEST(HttpDate, FollowsTheClock) {
  HttpDate date;
  EXPECT_EQ(date.Format(absl::FromUnixSeconds(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(date.Format(absl::FromUnixMillis(999)), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(date.Format(absl::FromUnixSeconds(1709251199)), "Thu, 29 Feb 2024 23:59:59 GMT");
  EXPECT_EQ(date.Format(absl::FromUnixSeconds(1709251200)), "Fri, 01 Mar 2024 00:00:00 GMT");
}

}  // namespace
}  // namespace tao::http
