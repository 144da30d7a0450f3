#include "gateway/http/route_target.h"

#include "gateway/http/head_parser.h"

#include <gtest/gtest.h>

namespace tao::http {
namespace {

// "path-job|path-arch|query-job|query-arch path normal-path"; "-" for what is absent; or the
// status.
std::string Read(const std::string& target) {
  const std::string bytes = "GET " + target + " HTTP/1.1\r\nHost: g\r\n\r\n";
  RequestHeadParser parser;
  EXPECT_EQ(parser.Parse(bytes), ParseState::kComplete) << target;
  std::string scratch = "of the request before";
  RouteTarget route;
  if (const MessageError error = ParseRouteTarget(parser.head(), &scratch, &route)) {
    EXPECT_FALSE(error.reason.empty());
    return std::to_string(error.status);
  }
  const auto text = [](const std::optional<std::string_view>& value) {
    return std::string(value.value_or("-"));
  };
  return text(route.path_job_id) + "|" + text(route.path_network_arch) + "|" +
         text(route.query_job_id) + "|" + text(route.query_network_arch) + " " +
         std::string(route.path) + " " + std::string(route.normal_path);
}

TEST(RouteTarget, OneReadingOfEveryTarget) {
  const std::string chat = "/v1/chat/completions";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {chat, "-|-|-|- " + chat + " " + chat},
      {"/", "-|-|-|- / /"},
      {"http://g", "-|-|-|- / /"},
      {"http://g/services/a" + chat, "a|-|-|- " + chat + " " + chat},
      // Prefixes.
      {"/services/a" + chat, "a|-|-|- " + chat + " " + chat},
      {"/archs/cosmos-predict2.5" + chat, "-|cosmos-predict2.5|-|- " + chat + " " + chat},
      {"/archs/a%20b%2fc/v1", "-|a b/c|-|- /v1 /v1"},
      {"/archs/a+b/v1", "-|a+b|-|- /v1 /v1"},
      {"/%73ervices/%61/%761/m%2fx%7e", "a|-|-|- /%761/m%2fx%7e /v1/m%2Fx~"},
      {"/services/a", "a|-|-|- / /"},
      {"/services/a/", "a|-|-|- / /"},
      {"/services/a//v1", "a|-|-|- //v1 //v1"},
      {"/services/services/services/a", "services|-|-|- /services/a /services/a"},
      {"/services", "-|-|-|- /services /services"},
      {"/Services/a/v1", "-|-|-|- /Services/a/v1 /Services/a/v1"},
      {"//services/a/v1", "-|-|-|- //services/a/v1 //services/a/v1"},
      {"/services%2fa/v1", "-|-|-|- /services%2fa/v1 /services%2Fa/v1"},
      {"/v1/services/a", "-|-|-|- /v1/services/a /v1/services/a"},
      {"/services//v1", "400"},
      {"/services/", "400"},
      {"/archs//v1", "400"},
      {"/services/%00/v1", "400"},
      {"/services/../v1", "400"},
      {"/services/%2e/v1", "400"},
      // Normal form.
      {"/a%2Db%7E%5f%2e", "-|-|-|- /a%2Db%7E%5f%2e /a-b~_."},
      {"/%c3%a9%25%3f%5c", "-|-|-|- /%c3%a9%25%3f%5c /%C3%A9%25%3F%5C"},
      {"/...", "-|-|-|- /... /..."},
      {"/.a/..b/c..", "-|-|-|- /.a/..b/c.. /.a/..b/c.."},
      // Query.
      {"/?job_id=a&network_arch=b", "-|-|a|b / /"},
      {"/services/x/v1?job_id=a", "x|-|a|- /v1 /v1"},
      {"/?x=1&&job_id=a&y", "-|-|a|- / /"},
      {"/?%6aob_id=%61+b%2b%26", "-|-|a b+&|- / /"},
      {"/?network%5Farch=a%20b&job_id=c%20d", "-|-|c d|a b / /"},
      {"/?xjob_id=a&job_idx=b&JOB_ID=c", "-|-|-|- / /"},
      {"/?job_id=a=b", "-|-|a=b|- / /"},
      {"/?%00=1&a=%0d%0a", "-|-|-|- / /"},
      {"/?", "-|-|-|- / /"},
      {"/?job_id=a&job_id=a", "400"},
      {"/?job_id=a&%6Aob_id=b", "400"},
      {"/?network_arch=a&network_arch=b", "400"},
      {"/?job_id=", "400"},
      {"/?job_id", "400"},
      {"/?job_id=%00", "400"},
      {"/?job_id=a%0d%0ab", "400"},
      {"/?job_id=%7f", "400"},
      {"/?job_id=%4", "400"},
      {"/?a=%", "400"},
      {"/?a=%g0", "400"},
      {"/?%4g=1", "400"},
  };
  for (const auto& [target, want] : cases) EXPECT_EQ(Read(target), want) << target;
}

TEST(RouteTarget, TheAsteriskIsItself) {
  const std::string bytes = "OPTIONS * HTTP/1.1\r\nHost: g\r\n\r\n";
  RequestHeadParser parser;
  ASSERT_EQ(parser.Parse(bytes), ParseState::kComplete);
  std::string scratch;
  RouteTarget route;
  EXPECT_FALSE(ParseRouteTarget(parser.head(), &scratch, &route));
  EXPECT_EQ(route.path, "*");
  EXPECT_EQ(route.normal_path, "*");
}

// As much decoded text as can be: no view may point to where the scratch string used to be (ASan
// sees).
TEST(RouteTarget, ViewsIntoTheScratchStringStay) {
  std::string escaped;
  for (int i = 0; i < 300; ++i) escaped += "%20";
  const std::string decoded(300, ' ');
  const std::string plus(300, '+');
  const std::string result = Read("/archs/" + escaped + "/" + escaped + "?job_id=" + plus +
                                  escaped + "&network_arch=" + escaped + plus);
  EXPECT_EQ(result, "-|" + decoded + "|" + decoded + decoded + "|" + decoded + decoded + " /" +
                        escaped + " /" + escaped);
}

TEST(PercentDecode, DecodesDataAndRefusesControls) {
  std::string out = "x";
  EXPECT_TRUE(PercentDecode("org%2Fname%C3%a9+", &out));
  EXPECT_EQ(out, "xorg/name\xc3\xa9+");
  for (const std::string_view text : {"a%", "a%4", "a%zz", "a%00", "a%0A", "a%7F"}) {
    EXPECT_FALSE(PercentDecode(text, &out)) << text;
    EXPECT_EQ(out, "xorg/name\xc3\xa9+");
  }
}

}  // namespace
}  // namespace tao::http
