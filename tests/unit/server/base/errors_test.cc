#include "server/base/errors.h"

#include <gtest/gtest.h>

#include <absl/strings/str_format.h>

#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "server/base/strings.h"

namespace tao::base {
namespace {

using C = absl::StatusCode;
using T = ErrorToken;

struct WantedRule {
  T token;
  const char* name;
  C code;
  int http_status;
};

// The contract with clients: what each token means on the wire. In the enum's order.
const WantedRule kWanted[] = {
    {T::kServiceNotFound, "service_not_found", C::kNotFound, 404},
    {T::kModelNotFound, "model_not_found", C::kNotFound, 404},
    {T::kAmbiguousService, "ambiguous_service", C::kFailedPrecondition, 400},
    {T::kSelectorConflict, "selector_conflict", C::kInvalidArgument, 400},
    {T::kModelNotReady, "model_not_ready", C::kUnavailable, 503},
    {T::kServiceFailed, "service_failed", C::kFailedPrecondition, 503},
    {T::kServiceDraining, "service_draining", C::kUnavailable, 503},
    {T::kBadRequest, "bad_request", C::kInvalidArgument, 400},
    {T::kUnsupportedMediaType, "unsupported_media_type", C::kInvalidArgument, 415},
    {T::kBodyTooLarge, "body_too_large", C::kInvalidArgument, 413},
    {T::kContractViolation, "contract_violation", C::kInvalidArgument, 400},
    {T::kSecretInBody, "secret_in_body", C::kInvalidArgument, 400},
    {T::kOverflow, "overflow", C::kResourceExhausted, 503},
    {T::kSpoolFull, "spool_full", C::kResourceExhausted, 507},
    {T::kUpstreamConnect, "upstream_connect", C::kUnavailable, 502},
    {T::kUpstreamReset, "upstream_reset", C::kUnavailable, 502},
    {T::kUpstreamTimeout, "upstream_timeout", C::kDeadlineExceeded, 504},
    {T::kGatewayShutdown, "gateway_shutdown", C::kUnavailable, 503},
};

TEST(ErrorRulesTest, HoldsTheWholeTableInTheEnumsOrder) {
  ASSERT_EQ(ErrorRules().size(), std::size(kWanted));
  for (size_t i = 0; i < std::size(kWanted); ++i) {
    SCOPED_TRACE(kWanted[i].name);
    EXPECT_EQ(static_cast<size_t>(kWanted[i].token), i);
    const ErrorRule& rule = RuleOf(kWanted[i].token);
    EXPECT_EQ(rule.token, kWanted[i].token);
    EXPECT_EQ(rule.name, kWanted[i].name);
    EXPECT_EQ(rule.code, kWanted[i].code);
    EXPECT_EQ(rule.http_status, kWanted[i].http_status);
  }
}

// A row of docs/api.md without its last column, which is prose.
std::string RowOf(const ErrorRule& rule) {
  const std::string retry =
      rule.retry_after_s == 0 ? "" : absl::StrFormat("%d s ", rule.retry_after_s);
  const char* const should =
      rule.should_retry.has_value() ? *rule.should_retry ? "true " : "false " : "";
  return absl::StrFormat("| `%s` | %s | %d | %s | %s| %s| `tao-inference; error=%s` | ", rule.name,
                         absl::StatusCodeToString(rule.code), rule.http_status, rule.type, retry,
                         should, rule.proxy_status);
}

// The table that clients read is the one that is compiled in.
TEST(ErrorRulesTest, ApiDocHasTheSameTable) {
  std::ifstream doc(TAO_SOURCE_DIR "/docs/api.md");
  std::vector<std::string> rows;
  bool inside = false;
  for (std::string line; std::getline(doc, line);) {
    if (line.starts_with("<!-- error tokens")) inside = true;
    if (line.starts_with("<!-- /error tokens")) inside = false;
    if (inside && line.starts_with("| `")) rows.push_back(line);
  }
  ASSERT_EQ(rows.size(), ErrorRules().size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::string wanted = RowOf(ErrorRules()[i]);
    EXPECT_EQ(rows[i].substr(0, wanted.size()), wanted);
    EXPECT_GT(rows[i].size(), wanted.size() + 2) << "no word about when it comes: " << rows[i];
  }
}

TEST(ErrorRulesTest, EveryRuleIsWhatTheOpenAiClientsCanUse) {
  // RFC 9209 section 2.3's types that we use.
  const std::set<std::string_view> proxy_words = {
      "destination_not_found", "destination_unavailable",  "connection_refused",
      "connection_terminated", "connection_limit_reached", "http_request_error",
      "http_request_denied",   "http_response_timeout",    "proxy_internal_error"};
  std::set<std::string_view> names;
  for (const ErrorRule& rule : ErrorRules()) {
    SCOPED_TRACE(std::string(rule.name));
    EXPECT_TRUE(names.insert(rule.name).second);
    EXPECT_EQ(rule.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string_view::npos);
    EXPECT_GE(rule.retry_after_s, 0);
    EXPECT_LE(rule.retry_after_s, 60) << "older clients ignore longer ones";
    EXPECT_TRUE(proxy_words.count(rule.proxy_status)) << rule.proxy_status;
    const bool client_error = rule.http_status < 500;
    EXPECT_EQ(rule.type, rule.token == T::kModelNotReady ? "model_not_ready"
                         : client_error                  ? "invalid_request_error"
                                                         : "server_error");
    if (rule.should_retry == false) {
      EXPECT_EQ(rule.retry_after_s, 0) << "says both: do not retry, and when to";
    }
    // The clients retry 408, 409 and 429 unasked; no error of a request may be among them.
    EXPECT_TRUE(rule.http_status != 408 && rule.http_status != 409 && rule.http_status != 429);
  }
  EXPECT_GE(RuleOf(T::kModelNotReady).retry_after_s, 1);
  EXPECT_EQ(RuleOf(T::kServiceFailed).should_retry, false);
}

TEST(TokenErrorTest, CarriesTokenMessageAndEveryDetail) {
  ErrorDetails details;
  details.type = "model_load_error";
  details.param = "model";
  details.reason = "SOME_REASON";
  details.retry_after = absl::Seconds(7);
  details.candidate_count = 12;
  // No separator is safe: values are arbitrary bytes.
  details.candidates = {{"job-1", "cosmos-rl", "2026-01-02T03:04:05Z", "http://localhost:8080"},
                        {std::string("a\0b", 3), "", "\x01\xff\n", std::string(70000, 'x')}};
  details.violations = {{"model_path", "is empty"}, {"", ""}};
  const absl::Status status = TokenError(T::kAmbiguousService, "two match", details);
  EXPECT_EQ(status.code(), C::kFailedPrecondition);
  EXPECT_EQ(ToStd(status.message()), "two match");
  EXPECT_EQ(TokenOf(status), T::kAmbiguousService);

  const ErrorDetails got = DetailsOf(status);
  EXPECT_EQ(got.type, details.type);
  EXPECT_EQ(got.param, details.param);
  EXPECT_EQ(got.reason, details.reason);
  EXPECT_EQ(got.retry_after, details.retry_after);
  EXPECT_EQ(got.candidate_count, 12);
  ASSERT_EQ(got.candidates.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(got.candidates[i].job_id, details.candidates[i].job_id);
    EXPECT_EQ(got.candidates[i].network_arch, details.candidates[i].network_arch);
    EXPECT_EQ(got.candidates[i].started_at, details.candidates[i].started_at);
    EXPECT_EQ(got.candidates[i].host_url, details.candidates[i].host_url);
  }
  ASSERT_EQ(got.violations.size(), 2u);
  EXPECT_EQ(got.violations[0].field, "model_path");
  EXPECT_EQ(got.violations[0].description, "is empty");
  EXPECT_EQ(got.violations[1].field, "");
}

TEST(TokenErrorTest, EveryTokenSurvives) {
  for (const ErrorRule& rule : ErrorRules()) {
    const absl::Status status = TokenError(rule.token, "m");
    EXPECT_EQ(TokenOf(status), rule.token);
    EXPECT_EQ(status.code(), rule.code);
    EXPECT_EQ(DetailsOf(status).retry_after, absl::ZeroDuration());
    EXPECT_TRUE(DetailsOf(status).candidates.empty());
  }
}

TEST(TokenErrorTest, LongRetryAfterIsNotCut) {
  const absl::Duration month = absl::Hours(24 * 31);  // more milliseconds than an int holds
  const absl::Status status = TokenError(T::kOverflow, "m", {.retry_after = month});
  EXPECT_EQ(DetailsOf(status).retry_after, month);
}

TEST(TokenErrorTest, PlainStatusHasNeitherTokenNorDetails) {
  EXPECT_EQ(TokenOf(absl::InternalError("x")), std::nullopt);
  EXPECT_EQ(TokenOf(absl::OkStatus()), std::nullopt);
  EXPECT_TRUE(DetailsOf(absl::InternalError("x")).type.empty());
}

TEST(TokenErrorTest, WithDetailsKeepsTheStatus) {
  const absl::Status status =
      WithDetails(absl::InvalidArgumentError("bad"), {.violations = {{"f", "d"}}});
  EXPECT_EQ(status.code(), C::kInvalidArgument);
  EXPECT_EQ(TokenOf(status), std::nullopt);
  ASSERT_EQ(DetailsOf(status).violations.size(), 1u);
  EXPECT_EQ(DetailsOf(status).violations[0].field, "f");
}

}  // namespace
}  // namespace tao::base
