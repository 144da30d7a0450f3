// The request contract at both doors: the same findings, and nothing wrong reaches a backend.

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "server/base/errors.h"
#include "server/base/secret.h"
#include "server/base/strings.h"
#include "server/catalog/catalog.h"
#include "server/contract/body_check.h"
#include "tests/component/gateway/gateway_harness.h"
#include "tests/support/contract_rules.h"

namespace tao::gateway {
namespace {

using contract::BodyWith;
using contract::RuleCase;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// "param | found | right" each, in order.
using Findings = std::vector<std::string>;

// The door of the API. Statuses are taken apart on the worker's thread (infer_test.cc).
class Caller : public InferReceiver {
 public:
  void OnHead(InferHead head) override { notices = std::move(head.notices); }
  void OnData(std::string) override {}
  void OnEnd(absl::Status status) override {
    if (const auto its = base::TokenOf(status)) token = std::string(base::RuleOf(*its).name);
    message = std::string(base::ToStd(status.message()));
    const base::ErrorDetails details = base::DetailsOf(status);
    total = details.violation_count;
    for (const base::FieldViolation& each : details.violations) {
      findings.push_back(each.field + " | " + each.found + " | " + each.right);
    }
    ended.Set();
  }

  Event ended;  // what follows may be read after it
  std::string token, message;
  Findings findings;
  int64_t total = 0;
  std::vector<std::string> notices;
};

struct Archs {
  explicit Archs(GatewayConfig config = Config())
      : upstream(Answers(FlaskAnswer(kCompletion))), harness(Services(), std::move(config)) {}

  static GatewayConfig Config() {
    const auto catalog = catalog::Catalog::Load(std::string(TAO_SOURCE_DIR) + "/references");
    if (!catalog.ok()) std::abort();
    GatewayConfig config = GatewayHarness::Config();
    config.contracts = contract::Contracts::Build((*catalog)->request());
    return config;
  }
  std::vector<routing::Service> Services() const {
    return {ServiceAt(upstream.port(), kJob, "cosmos-rl"),
            ServiceAt(upstream.port(), kOtherJob, "cosmos-predict2.5"),
            ServiceAt(upstream.port(), "33333333-3333-4333-8333-333333333333", "tao-dataservices")};
  }
  std::shared_ptr<Caller> Call(std::string_view arch, const std::string& body,
                               bool strict = false) const {
    const auto caller = std::make_shared<Caller>();
    InferCall call;
    call.selector.terms.push_back(
        {routing::SelectorTerm::Kind::kNetworkArch, std::string(arch), "selector.network_arch"});
    call.body = body;
    call.strict = strict;
    stream = harness.gateway->PostInfer(std::move(call), caller);
    EXPECT_TRUE(caller->ended.Wait());
    return caller;
  }
  RawMessage Ask(std::string_view arch, const std::string& body,
                 const std::string& more = "") const {
    return harness.Ask(Post(body, "X-TAO-Network-Arch: " + std::string(arch) + "\r\n" + more));
  }

  FakeUpstream upstream;
  GatewayHarness harness;
  mutable std::shared_ptr<InferStream> stream;
};

nlohmann::json ErrorIn(const RawMessage& answer) {
  return nlohmann::json::parse(answer.body, nullptr, false).value("error", nlohmann::json());
}

Findings FindingsIn(const nlohmann::json& error) {
  Findings findings;
  for (const auto& each : error.value("findings", nlohmann::json::array())) {
    findings.push_back(each.value("param", "") + " | " + each.value("found", "") + " | " +
                       each.value("right", ""));
  }
  return findings;
}

std::vector<std::string> NoticesIn(const RawMessage& answer) {
  constexpr std::string_view kName = "\r\nX-TAO-Notice: ";
  std::vector<std::string> notices;
  for (size_t at = answer.head.find(kName); at != std::string::npos;
       at = answer.head.find(kName, at + 1)) {
    const size_t begin = at + kName.size();
    notices.push_back(answer.head.substr(begin, answer.head.find("\r\n", begin) - begin));
  }
  return notices;
}

TEST(Contract, EveryRuleHasTheSameFindingAtBothDoors) {
  const Archs archs;
  for (const RuleCase& rule : contract::RuleCases()) {
    SCOPED_TRACE(rule.name);
    const std::string wanted = rule.param + " | " + rule.found + " | " + rule.right;
    const RawMessage answer = archs.Ask(rule.arch, rule.body);
    EXPECT_THAT(answer.head, HasSubstr("HTTP/1.1 400"));
    EXPECT_THAT(answer.head, HasSubstr("\r\nX-TAO-Error: contract_violation\r\n"));
    const nlohmann::json error = ErrorIn(answer);
    ASSERT_TRUE(error.is_object()) << answer.body;
    EXPECT_EQ(error.value("code", ""), "contract_violation");
    EXPECT_EQ(error.value("type", ""), "invalid_request_error");
    const Findings findings = FindingsIn(error);
    EXPECT_THAT(findings, testing::Contains(wanted));
    EXPECT_EQ(error.value("total", 0), static_cast<int>(findings.size()));
    ASSERT_FALSE(findings.empty());
    EXPECT_EQ(findings.front().find(error.value("param", "?") + " | "), 0u);

    const std::shared_ptr<Caller> call = archs.Call(rule.arch, rule.body);
    EXPECT_EQ(call->token, "contract_violation");
    EXPECT_EQ(call->findings, findings);
    EXPECT_EQ(call->total, error.value("total", 0));
    EXPECT_EQ(call->message, error.value("message", ""));
  }
  EXPECT_EQ(archs.upstream.connections(), 0);
}

TEST(Contract, TheModelMayComeAfterTheMessages) {
  const Archs archs;
  const RawMessage wrong = archs.harness.Ask(
      Post(R"({"guidance":7,"messages":[{"role":"user","content":"x"}],"model":"cosmos-rl"})"));
  EXPECT_THAT(FindingsIn(ErrorIn(wrong)), testing::SizeIs(2));
  const RawMessage right = archs.harness.Ask(Post(
      R"({"guidance":7,"messages":[{"role":"user","content":"x"}],"model":"cosmos-predict2.5"})"));
  EXPECT_THAT(right.head, HasSubstr("HTTP/1.1 200"));
}

// Bodies that are too long to be held go to the backend as they come, but for their last byte.
TEST(Contract, ALongBodyWithAFindingNeverReachesTheBackendWhole) {
  const FakeUpstream upstream([](FakeUpstream::Peer& peer) {
    const RawMessage request = peer.ReadRequest();
    if (request.whole) peer.Write(FlaskAnswer(kCompletion));
  });
  GatewayHarness harness({ServiceAt(upstream.port(), kJob, "tao-dataservices")}, Archs::Config());
  const std::string body = R"({"max_tokens":0,"messages":[{"role":"user","content":")" +
                           std::string(1 << 20, 'x') + R"("}]})";
  const RawMessage answer = harness.Ask(Post(body, HeaderFor(kJob)));
  EXPECT_THAT(answer.head, HasSubstr("X-TAO-Error: contract_violation"));
  EXPECT_THAT(FindingsIn(ErrorIn(answer)),
              ElementsAre("max_tokens | 0 | a whole number of at least 1"));
  EXPECT_THAT(upstream.received(), Not(HasSubstr("}]}")));
}

TEST(Contract, WhatTheContainerWouldIgnoreIsSaidInTheHead) {
  const Archs archs;
  const std::string body = BodyWith(
      "cosmos-predict2.5",
      R"("temperature":1,"max_tokens":77,"num_steps":35,"seed":1,"negative_prompt":"dogs")");
  const auto notices = ElementsAre("temperature: cosmos-predict2.5 ignores it",
                                   "guidance: not set; what the container uses then is unknown");
  const RawMessage answer = archs.Ask("cosmos-predict2.5", body);
  EXPECT_THAT(answer.head, HasSubstr("HTTP/1.1 200"));
  EXPECT_THAT(NoticesIn(answer), notices);
  const std::shared_ptr<Caller> call = archs.Call("cosmos-predict2.5", body);
  EXPECT_EQ(call->token, "");
  EXPECT_THAT(call->notices, notices);
}

TEST(Contract, NoMoreThanSixteenNoticesAreSent) {
  const Archs archs;
  std::string messages = R"({"role":"user","content":"x"})";
  for (int i = 0; i < 100; ++i) messages += R"(,{"role":"assistant","content":"y"})";
  const RawMessage answer = archs.Ask("tao-dataservices", R"({"messages":[)" + messages + "]}");
  const std::vector<std::string> notices = NoticesIn(answer);
  ASSERT_EQ(notices.size(), contract::kMaxNoticeLines);
  EXPECT_EQ(notices[0], "messages[1].role: the container ignores messages of role assistant");
  EXPECT_EQ(notices.back(), "and 89 more");
}

TEST(Contract, StrictRefusesWhatTheContainerWouldIgnore) {
  const std::string all = R"("max_tokens":5,"top_p":1,"temperature":1,"seed":1)";
  const std::string body =
      BodyWith("tao-dataservices", R"("max_tokens":5,"top_p":1,"temperature":1)");
  const Archs archs;
  const std::string finding =
      "seed | not set; what the container uses then is unknown | a whole number";
  EXPECT_THAT(archs.Ask("tao-dataservices", body).head, HasSubstr("HTTP/1.1 200"));
  const RawMessage refused = archs.Ask("tao-dataservices", body, "X-TAO-Strict: true\r\n");
  EXPECT_THAT(FindingsIn(ErrorIn(refused)), ElementsAre(finding));
  EXPECT_THAT(archs.Call("tao-dataservices", body, true)->findings, ElementsAre(finding));
  EXPECT_THAT(
      archs.Ask("tao-dataservices", BodyWith("tao-dataservices", all), "X-TAO-Strict: true\r\n")
          .head,
      HasSubstr("HTTP/1.1 200"));
  EXPECT_THAT(archs.Ask("tao-dataservices", body, "X-TAO-Strict: yes\r\n").body,
              HasSubstr("X-TAO-Strict is true or false"));

  GatewayConfig config = Archs::Config();
  config.strict = true;
  const Archs strict(config);
  EXPECT_THAT(FindingsIn(ErrorIn(strict.Ask("tao-dataservices", body, "X-TAO-Strict: false\r\n"))),
              ElementsAre(finding));
}

TEST(Contract, ServicesOfOtherToolsAndUnknownArchsTakeAnything) {
  FakeUpstream upstream(Answers(FlaskAnswer(kCompletion)));
  routing::Service foreign = ServiceAt(upstream.port(), kJob, "cosmos-rl");
  foreign.foreign = true;
  GatewayHarness harness({foreign, ServiceAt(upstream.port(), kOtherJob, "acme-vlm")},
                         Archs::Config());
  for (const std::string_view arch : {"cosmos-rl", "acme-vlm"}) {
    const RawMessage answer = harness.Ask(
        Post(R"({"messages":7,"max_tokens":"x","model":")" + std::string(arch) + R"("})"));
    EXPECT_THAT(answer.head, HasSubstr("HTTP/1.1 200"));
    EXPECT_THAT(NoticesIn(answer), IsEmpty());
  }
}

TEST(Contract, ASecretInABodyIsRefusedAtBothDoors) {
  const std::string value = "contract-test-secret-value";
  const base::Secret secret(value);
  const Archs archs;
  const std::string body =
      BodyWith("tao-dataservices", R"("user":"contract-test\u002dsecret-value")");
  const RawMessage answer = archs.Ask("tao-dataservices", body);
  EXPECT_THAT(answer.head, HasSubstr("HTTP/1.1 400"));
  EXPECT_THAT(answer.head, HasSubstr("X-TAO-Error: secret_in_body"));
  EXPECT_TRUE(ErrorIn(answer)["param"].is_null());
  EXPECT_EQ(archs.Call("tao-dataservices", body)->token, "secret_in_body");
  // One that is learnt later, as a service's token is.
  const std::string late = BodyWith("tao-dataservices", R"("user":"a-secret-that-came-later")");
  EXPECT_THAT(archs.Ask("tao-dataservices", late).head, HasSubstr("HTTP/1.1 200"));
  const base::Secret another("a-secret-that-came-later");
  EXPECT_THAT(archs.Ask("tao-dataservices", late).head, HasSubstr("secret_in_body"));
}

}  // namespace
}  // namespace tao::gateway
