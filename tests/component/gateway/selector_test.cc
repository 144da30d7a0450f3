// All the ways to say which service a request is for, and what the client is told when none or
// several are meant.

#include <gtest/gtest.h>

#include "tests/component/gateway/gateway_harness.h"

namespace tao::gateway {
namespace {

constexpr std::string_view kThirdJob = "33333333-3333-4333-8333-333333333333";

// Three services, two of one arch; each answers with its name.
class SelectorTest : public testing::Test {
 protected:
  SelectorTest()
      : one_(Answers(FlaskAnswer("\"one\""))),
        two_(Answers(FlaskAnswer("\"two\""))),
        three_(Answers(FlaskAnswer("\"three\""))),
        harness_({ServiceAt(one_.port(), kJob, "predict"),
                  ServiceAt(two_.port(), kOtherJob, "predict"),
                  Named(ServiceAt(three_.port(), kThirdJob, "reason"), "org/name")}) {}

  static routing::Service Named(routing::Service service, const std::string& name) {
    service.served_names = {name};
    return service;
  }
  static std::string Job(std::string_view job_id) { return std::string(job_id); }

  FakeUpstream one_;
  FakeUpstream two_;
  FakeUpstream three_;
  GatewayHarness harness_;
};

TEST_F(SelectorTest, EveryFormReachesItsService) {
  const std::string chat = "/v1/chat/completions";
  const std::string no_model = R"({"messages":[]})";
  const struct {
    std::string request;
    std::string want;
  } rows[] = {
      {Post(Body(kJob)), "\"one\""},
      {Post(Body("reason")), "\"three\""},
      {Post(Body("org/name")), "\"three\""},
      {Post(R"({"mod\u0065l":"r\u0065ason"})"), "\"three\""},
      {Post(no_model, HeaderFor(kOtherJob)), "\"two\""},
      {Post(no_model, "x-tao-network-arch: reason\r\n"), "\"three\""},
      {Post(no_model, "", "/services/" + Job(kOtherJob) + chat), "\"two\""},
      {Post(no_model, "", "/archs/reason" + chat), "\"three\""},
      {Post(no_model, "", chat + "?job_id=" + Job(kOtherJob)), "\"two\""},
      {Post(no_model, "", chat + "?x=1&network_arch=reason"), "\"three\""},
      // Several that hold for one service; the arch alone would be ambiguous.
      {Post(Body(kJob), "", "/archs/predict" + chat), "\"one\""},
      {Post(Body(kOtherJob), "X-TAO-Network-Arch: predict\r\n", chat + "?job_id=" + Job(kOtherJob)),
       "\"two\""},
      // A `model` that names nothing is no selector where another one is there.
      {Post(Body("gpt-4"), HeaderFor(kOtherJob)), "\"two\""},
  };
  for (const auto& row : rows) {
    const RawMessage answer = harness_.Ask(row.request);
    EXPECT_EQ(answer.body, row.want) << row.request << answer.head;
  }
}

TEST_F(SelectorTest, WhatCannotBeIsSaid) {
  const std::string chat = "/v1/chat/completions";
  const std::string gone = "99999999-9999-4999-8999-999999999999";
  const struct {
    std::string request;
    int status;
    std::string token;
  } rows[] = {
      {Post(R"({"messages":[]})"), 400, "ambiguous_service"},
      {Post(Body("predict")), 400, "ambiguous_service"},
      {Post("{}", "", "/archs/predict" + chat), 400, "ambiguous_service"},
      {Post(Body("gpt-4")), 404, "model_not_found"},
      {Post(Body("")), 404, "model_not_found"},
      {Post(Body(kJob), HeaderFor(gone)), 404, "service_not_found"},
      {Post("{}", "", "/archs/nobody" + chat), 404, "service_not_found"},
      {Post(Body(kJob), HeaderFor(kOtherJob)), 400, "selector_conflict"},
      {Post("{}", HeaderFor(kJob) + HeaderFor(kOtherJob)), 400, "selector_conflict"},
      {Post("{}", HeaderFor(kJob), "/archs/reason" + chat), 400, "selector_conflict"},
      {Post("{}", "X-TAO-Job-ID:\r\n"), 400, "bad_request"},
      {Post(R"({"model":"predict","model":"reason"})"), 400, "bad_request"},
      {Post(R"({"model":7})"), 400, "bad_request"},
  };
  for (const auto& row : rows) {
    const RawMessage answer = harness_.Ask(row.request);
    EXPECT_EQ(answer.status(), row.status) << row.request << answer.head << answer.body;
    EXPECT_EQ(answer.Field("X-TAO-Error"), row.token);
    EXPECT_NE(answer.body.find("\"code\":\"" + row.token + "\""), std::string::npos) << answer.body;
    EXPECT_EQ(answer.Field("Content-Type"), "application/json");
  }
  EXPECT_EQ(one_.connections() + two_.connections() + three_.connections(), 0);
}

TEST_F(SelectorTest, AmbiguityListsTheCandidates) {
  const RawMessage answer = harness_.Ask(Post(Body("predict")));
  EXPECT_NE(answer.body.find("\"candidates\":[{\"job_id\":\"" + Job(kJob)), std::string::npos);
  EXPECT_NE(answer.body.find("\"job_id\":\"" + Job(kOtherJob)), std::string::npos);
  EXPECT_EQ(answer.body.find(kThirdJob), std::string::npos);
  EXPECT_NE(answer.body.find("\"candidate_count\":2"), std::string::npos);
}

TEST_F(SelectorTest, ConnectionGoesOnAfterARequestThatNamesNobody) {
  RawSocket client = harness_.Connect();
  client.Write(Post(Body("gpt-4")) + Post(Body("gpt-4"), HeaderFor("nobody")) +
               Post(Body("reason")));
  EXPECT_EQ(client.ReadMessage().status(), 404);
  EXPECT_EQ(client.ReadMessage().status(), 404);
  EXPECT_EQ(client.ReadMessage().body, "\"three\"");
}

struct PhaseCase {
  std::string name;
  routing::Phase phase;
  std::string reason;
  int status;
  std::string token;
  bool retry_after;
  std::string should_retry;
};
class PhaseTest : public testing::TestWithParam<PhaseCase> {};

TEST_P(PhaseTest, SaysWhetherTryingAgainHelps) {
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  routing::Service service = ServiceAt(upstream.port());
  service.phase = GetParam().phase;
  service.reason = GetParam().reason;
  GatewayHarness harness({service});
  const RawMessage answer = harness.Ask(Post(Body(kJob)));
  EXPECT_EQ(answer.status(), GetParam().status) << answer.head << answer.body;
  EXPECT_EQ(answer.Field("X-TAO-Error").value_or(""), GetParam().token);
  EXPECT_EQ(answer.Field("Retry-After").has_value(), GetParam().retry_after);
  EXPECT_EQ(answer.Field("x-should-retry").value_or(""), GetParam().should_retry);
  EXPECT_EQ(answer.Field("X-TAO-Job-ID"), kJob);
}

INSTANTIATE_TEST_SUITE_P(
    Phases, PhaseTest,
    testing::ValuesIn<PhaseCase>({
        {"Loading", routing::Phase::kLoading, "model_loading", 503, "model_not_ready", true, ""},
        {"Launching", routing::Phase::kLaunching, "", 503, "model_not_ready", true, ""},
        {"Unreachable", routing::Phase::kUnreachable, "", 200, "", false, ""},
        {"Failed", routing::Phase::kFailed, "model_load_error", 503, "service_failed", false,
         "false"},
        {"Draining", routing::Phase::kDraining, "", 503, "service_draining", false, "false"},
    }),
    [](const auto& row) { return row.param.name; });

TEST(NoServices, SaysWhatToDo) {
  GatewayHarness harness({});
  const RawMessage answer = harness.Ask(Post("{}"));
  EXPECT_EQ(answer.status(), 404);
  EXPECT_EQ(answer.Field("X-TAO-Error"), "service_not_found");
}

TEST(NewTable, IsUsedByTheNextRequest) {
  FakeUpstream upstream(Answers(FlaskAnswer("{}")));
  GatewayHarness harness({});
  RawSocket client = harness.Connect();
  client.Write(Post(Body(kArch)));
  EXPECT_EQ(client.ReadMessage().status(), 404);
  harness.Publish({ServiceAt(upstream.port())});
  client.Write(Post(Body(kArch)));
  EXPECT_EQ(client.ReadMessage().status(), 200);
}

}  // namespace
}  // namespace tao::gateway
