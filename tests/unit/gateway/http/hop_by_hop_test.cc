#include "gateway/http/hop_by_hop.h"

#include "gateway/http/head_parser.h"
#include "gateway/http/head_writer.h"

#include <gtest/gtest.h>

namespace tao::http {
namespace {

struct Selected {
  MessageError error;
  Forwarding forwarding;
  std::string lines;  // what is passed on
};

// Through the writer, so that what is seen is what the other side gets.
std::string Written(const FieldList& fields, const FieldMask& kept) {
  std::string out;
  HeadWriter writer(out);
  writer.Fields(fields, kept);
  EXPECT_TRUE(writer.End());
  return out.substr(0, out.size() - 2);
}

Selected SelectRequest(const std::string& lines) {
  const std::string bytes = "GET / HTTP/1.1\r\n" + lines + "\r\n";
  RequestHeadParser parser;
  EXPECT_EQ(parser.Parse(bytes), ParseState::kComplete);
  Selected selected;
  selected.error = SelectRequestFields(parser.head(), &selected.forwarding);
  selected.lines = Written(parser.head().fields, selected.forwarding.kept);
  return selected;
}

Selected SelectResponse(const std::string& lines) {
  const std::string bytes = "HTTP/1.1 200 OK\r\n" + lines + "\r\n";
  ResponseHeadParser parser;
  EXPECT_EQ(parser.Parse(bytes), ParseState::kComplete);
  Selected selected;
  selected.error = SelectResponseFields(parser.head(), &selected.forwarding);
  selected.lines = Written(parser.head().fields, selected.forwarding.kept);
  return selected;
}

// P2, U10: what Connection lists goes, in any case and order, from every line of it.
TEST(HopByHop, ListedFieldsAreRemovedBothWays) {
  const std::string lines =
      "X-Foo: 1\r\nConnection: close, x-foo\r\nX-Kept: 1\r\nx-FOO: 2\r\nX-Bar: 3\r\nConnection: "
      "X-Bar, "
      "Accept\r\nAccept: */*\r\n";
  for (const Selected& selected : {SelectRequest(lines), SelectResponse(lines)}) {
    EXPECT_FALSE(selected.error);
    EXPECT_TRUE(selected.forwarding.close);
    EXPECT_EQ(selected.lines, "X-Kept: 1\r\n");
  }
}

// P3, U10, C66: fields of one hop go whether they are listed or not.
TEST(HopByHop, FieldsOfOneHopAreRemovedUnlisted) {
  const std::string lines =
      "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\n"
      "Transfer-Encoding: chunked\r\nUpgrade: h2c\r\nTrailer: X\r\nProxy-Authorization: a\r\n"
      "Proxy-Authenticate: a\r\nProxy-Authentication-Info: a\r\nHTTP2-Settings: AAMA\r\n"
      "Host: g\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: keep-alive\r\n";
  for (const Selected& selected : {SelectRequest(lines), SelectResponse(lines)}) {
    EXPECT_FALSE(selected.error);
    EXPECT_FALSE(selected.forwarding.close);
    EXPECT_TRUE(selected.forwarding.keep_alive);
    EXPECT_EQ(selected.lines, "");
  }
}

// P5, P6, P46, P49: everything else keeps its order and its bytes.
TEST(HopByHop, AllOtherFieldsPassUnchanged) {
  const std::string lines =
      "X-Whatever: \x80\xff\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nAuthorization: Bearer x\r\n"
      "Via: 1.1 a\r\nPrefer: wait=10\r\ntraceparent: 00-a-b-01\r\nIf-None-Match: \"x\"\r\n"
      "Content-Type: application/json\r\nX-TAO-Job-ID: 1\r\nDate: x\r\n";
  EXPECT_EQ(SelectRequest(lines).lines, lines);
  EXPECT_EQ(SelectResponse(lines).lines, lines);
}

// P4, C65.
TEST(HopByHop, AProtectedFieldMayNotBeListed) {
  for (const std::string option :
       {"Host", "content-length", "Transfer-Encoding", "AUTHORIZATION", "X-TAO-Network-Arch",
        "x-tao-x", "Content-Type", "close, Cookie"}) {
    EXPECT_EQ(SelectRequest("Connection: " + option + "\r\n").error.status, 400) << option;
    EXPECT_EQ(SelectResponse("Connection: " + option + "\r\n").error.status, 502) << option;
  }
}

TEST(HopByHop, ConnectionIsAListOfAtMost64OtherNames) {
  EXPECT_EQ(SelectRequest("Connection: a;b\r\n").error.status, 400);
  EXPECT_FALSE(SelectRequest("Connection: ,,\r\n").error);
  std::string names = "n0";
  for (int i = 1; i < 64; ++i) names += ",n" + std::to_string(i);
  const Selected all = SelectRequest("N63: 1\r\nConnection: " + names + "\r\nN64: 1\r\n");
  EXPECT_FALSE(all.error);
  EXPECT_EQ(all.lines, "N64: 1\r\n");
  EXPECT_EQ(SelectRequest("Connection: " + names + ",n64\r\n").error.status, 400);
}

TEST(HopByHop, OnlyHttp11WithoutCloseKeepsTheConnection) {
  const Forwarding open = SelectRequest("").forwarding;
  const Forwarding closing = SelectRequest("Connection: CLOSE\r\n").forwarding;
  const Forwarding keeping = SelectRequest("Connection: keep-alive\r\n").forwarding;
  EXPECT_TRUE(KeepsConnection(Version::kHttp11, open));
  EXPECT_FALSE(KeepsConnection(Version::kHttp11, closing));
  EXPECT_FALSE(KeepsConnection(Version::kHttp10, open));
  EXPECT_FALSE(KeepsConnection(Version::kHttp10, keeping));
}

// P7, P8.
TEST(HopByHop, ViaTellsALoop) {
  RequestHeadParser parser;
  const std::string bytes =
      "GET / HTTP/1.1\r\nVia: 1.0 fred, 1.1 p.example.net (a, 1.1 commented)\r\n"
      "Via: HTTP/1.1 Tao-1:80 (x), , nonsense\r\n\r\n";
  ASSERT_EQ(parser.Parse(bytes), ParseState::kComplete);
  const FieldList& fields = parser.head().fields;
  EXPECT_TRUE(ViaNames(fields, "fred"));
  EXPECT_TRUE(ViaNames(fields, "tao-1:80"));
  EXPECT_TRUE(ViaNames(fields, "p.example.net"));
  EXPECT_FALSE(ViaNames(fields, "commented"));
  EXPECT_FALSE(ViaNames(fields, "nonsense"));
  EXPECT_FALSE(ViaNames(fields, "tao-1"));
}

}  // namespace
}  // namespace tao::http
