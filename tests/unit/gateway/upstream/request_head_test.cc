#include "gateway/upstream/request_head.h"

#include <gtest/gtest.h>

namespace tao::upstream {
namespace {

routing::Backend BackendAt(const std::string& authority) {
  routing::Backend backend;
  backend.authority = authority;
  return backend;
}

TEST(RequestHeadTest, OfACallOfTheApi) {
  ForwardedRequest request;
  request.path = "/v1/chat/completions";
  request.request_id = "req-1";
  routing::Backend backend = BackendAt("b:8080");
  backend.base_path = "/base";
  std::string out;
  ASSERT_TRUE(AppendRequestHead(out, request, backend, 12));
  EXPECT_EQ(out,
            "POST /base/v1/chat/completions HTTP/1.1\r\nHost: b:8080\r\n"
            "Content-Type: application/json\r\nAccept: application/json\r\nX-Request-ID: req-1\r\n"
            "Content-Length: 12\r\n\r\n");
}

// The driver says the whole value; the prober sends the same.
TEST(RequestHeadTest, CredentialIsTheWholeValueOfAuthorization) {
  ForwardedRequest request;
  request.path = "/";
  routing::Backend backend = BackendAt("b");
  backend.credential = base::Secret("Bearer head-test-token");
  std::string out;
  ASSERT_TRUE(AppendRequestHead(out, request, backend, 0));
  EXPECT_NE(out.find("\r\nAuthorization: Bearer head-test-token\r\n"), std::string::npos) << out;
}

TEST(RequestHeadTest, UnknownLengthIsChunked) {
  ForwardedRequest request;
  request.path = "/";
  request.query = "a=b";
  request.request_id = "r";
  std::string out;
  ASSERT_TRUE(AppendRequestHead(out, request, BackendAt("b"), std::nullopt));
  EXPECT_EQ(out.substr(0, 20), "POST /?a=b HTTP/1.1\r");
  EXPECT_NE(out.find("\r\nTransfer-Encoding: chunked\r\n"), std::string::npos);
  EXPECT_EQ(out.find("Content-Length"), std::string::npos);
}

// An entry of the registry file cannot smuggle a header in.
TEST(RequestHeadTest, BackendWithControlBytesIsRefused) {
  ForwardedRequest request;
  request.path = "/";
  std::string out = "before";
  EXPECT_FALSE(AppendRequestHead(out, request, BackendAt("b\r\nX-Evil: 1"), 0));
  EXPECT_EQ(out, "before");
}

}  // namespace
}  // namespace tao::upstream
