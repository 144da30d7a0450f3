#include "server/registry/host_url.h"

namespace tao::registry {
namespace {

struct GoodCase {
  std::string name, text;
  HostUrl want;
};
class GoodUrlTest : public testing::TestWithParam<GoodCase> {};

TEST_P(GoodUrlTest, IsTakenApart) {
  const auto url = ParseHostUrl(GetParam().text);
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->scheme, GetParam().want.scheme);
  EXPECT_EQ(url->host, GetParam().want.host);
  EXPECT_EQ(url->port, GetParam().want.port);
  EXPECT_EQ(url->base_path, GetParam().want.base_path);
}

INSTANTIATE_TEST_SUITE_P(
    Urls, GoodUrlTest,
    testing::ValuesIn<GoodCase>({
        {"HostAndPort", "http://localhost:8080", {"http", "localhost", 8080, ""}},
        {"TrailingSlash", "http://localhost:8080/", {"http", "localhost", 8080, ""}},
        {"Path", "https://lepton.example/a/b/", {"https", "lepton.example", 443, "/a/b"}},
        {"DefaultPort", "http://node-3", {"http", "node-3", 80, ""}},
        {"UpperCase", "HTTP://Node-3:81", {"http", "node-3", 81, ""}},
        {"Ipv4", "http://10.0.0.7:65535", {"http", "10.0.0.7", 65535, ""}},
        {"Ipv6", "http://[::1]:8080/x", {"http", "::1", 8080, "/x"}},
        {"Ipv6WithoutPort", "https://[fe80::1]", {"https", "fe80::1", 443, ""}},
        {"Underscore", "http://my_container:8080", {"http", "my_container", 8080, ""}},
    }),
    [](const auto& test) { return test.param.name; });

struct BadCase {
  std::string name, text;
};
class BadUrlTest : public testing::TestWithParam<BadCase> {};

TEST_P(BadUrlTest, IsRefused) {
  EXPECT_EQ(ParseHostUrl(GetParam().text).status().code(), absl::StatusCode::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(Urls, BadUrlTest,
                         testing::ValuesIn<BadCase>({
                             {"Empty", ""},
                             {"NoScheme", "localhost:8080"},
                             {"OtherScheme", "file:///etc/passwd"},
                             {"NoHost", "http://:8080"},
                             {"NoHostWithPath", "http:///x"},
                             {"PortZero", "http://a:0"},
                             {"PortTooHigh", "http://a:65536"},
                             {"PortEmpty", "http://a:"},
                             {"PortWithSign", "http://a:+80"},
                             {"PortWithText", "http://a:80x"},
                             {"Password", "http://user:pw@a:80"},
                             {"Query", "http://a:80/?x"},
                             {"Fragment", "http://a:80/#x"},
                             {"Space", "http://a b:80"},
                             {"LineEnd", "http://a:80/\r\nX: y"},
                             {"Nul", std::string("http://a\0b:80", 13)},
                             {"NotAscii", "http://\xc3\xa4:80"},
                             {"OpenBracket", "http://[::1:80"},
                             {"TextAfterBracket", "http://[::1]x:80"},
                             {"NotIpv6", "http://[localhost]:80"},
                             {"Backslash", "http://a\\b:80"},
                             {"TooLong", "http://a:80/" + std::string(3000, 'x')},
                         }),
                         [](const auto& test) { return test.param.name; });

TEST(HostUrlTest, PasswordIsNotRepeated) {
  const absl::Status status = ParseHostUrl("http://user:geheim@a:80").status();
  EXPECT_EQ(std::string(status.message()).find("geheim"), std::string::npos);
}

TEST(HostUrlTest, ThisHost) {
  for (const char* const host : {"localhost", "127.0.0.1", "127.8.9.1", "::1", "0.0.0.0"}) {
    EXPECT_TRUE(IsThisHost(host)) << host;
  }
  for (const char* const host : {"10.0.0.1", "node-3", "localhost.example"}) {
    EXPECT_FALSE(IsThisHost(host)) << host;
  }
}

}  // namespace
}  // namespace tao::registry
