#include "server/contract/body_check.h"

#include <gmock/gmock.h>

#include "gateway/chat/body_scanner.h"
#include "server/base/errors.h"
#include "server/catalog/catalog.h"
#include "tests/support/contract_rules.h"
#include "tests/unit/server/catalog/references_copy.h"

namespace tao::contract {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::shared_ptr<const Contracts> Release() {
  static const auto contracts = [] {
    const auto catalog = catalog::Catalog::Load(std::string(TAO_SOURCE_DIR) + "/references");
    return catalog.ok() ? Contracts::Build((*catalog)->request()) : nullptr;
  }();
  return contracts;
}

struct Judged {
  absl::Status status;
  std::vector<Notice> notices;
  std::vector<std::string> Notices() const {
    std::vector<std::string> lines;
    for (const Notice& notice : notices) lines.push_back(notice.param + ": " + notice.text);
    return lines;
  }
};

struct How {
  bool arch_is_known = true;  // before the body is read
  size_t step = 0;            // bytes read at a time; 0: all
  bool strict = false;
  const SecretAutomaton* secrets = nullptr;
};

Judged Judge(std::string_view arch, std::string_view body, How how = {},
             const Contracts* contracts = Release().get()) {
  BodyCheck check(contracts, how.secrets);
  if (how.arch_is_known) check.Decide(arch);
  chat::BodyScanner scanner(check);
  absl::Status scanned;
  const size_t step = how.step == 0 ? body.size() : how.step;
  for (size_t at = 0; at < body.size() && scanned.ok(); at += step) {
    scanned = scanner.Feed(body.substr(at, step));
  }
  if (scanned.ok()) scanned = scanner.Finish();
  if (!scanned.ok()) return {scanned, {}};
  if (!how.arch_is_known) check.Decide(arch);
  return {check.Verdict(how.strict), check.Notices()};
}

class RuleTest : public testing::TestWithParam<RuleCase> {};

// Whatever comes first, the arch or the body, and however the body is split.
TEST_P(RuleTest, IsAFindingWithItsPlace) {
  const RuleCase& rule = GetParam();
  for (const How how : {How{}, How{.arch_is_known = false}, How{.step = 1},
                        How{.arch_is_known = false, .step = 7}}) {
    const absl::Status status = Judge(rule.arch, rule.body, how).status;
    ASSERT_EQ(base::TokenOf(status), base::ErrorToken::kContractViolation) << status;
    const base::ErrorDetails details = base::DetailsOf(status);
    EXPECT_EQ(details.violation_count, static_cast<int64_t>(details.violations.size()));
    bool found = false;
    for (const base::FieldViolation& each : details.violations) {
      if (each.field != rule.param) continue;
      found = true;
      EXPECT_EQ(each.found, rule.found);
      EXPECT_EQ(each.right, rule.right);
      break;
    }
    EXPECT_TRUE(found) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("does not fit " + rule.arch));
  }
}

INSTANTIATE_TEST_SUITE_P(RequestYaml, RuleTest, testing::ValuesIn(RuleCases()),
                         [](const auto& test) { return test.param.name; });

std::string UserMessage(std::string_view content) {
  return R"({"role":"user","content":)" + std::string(content) + "}";
}

TEST(BodyCheckTest, RightRequestsPass) {
  const std::string png = "data:image/png;base64,iVBORw0KGgo=";
  const struct {
    const char* arch;
    std::string body;
  } cases[] = {
      {"cosmos-rl", BodyWith("cosmos-rl", R"("temperature":0,"top_p":1,"max_tokens":1)")},
      {"cosmos-rl", ImageBody("/data/a.JPEG")},
      {"cosmos-rl", ImageBody("http://example.org/a.tiff?x=s3://b")},
      {"cosmos-rl", ImageBody("https://example.org/image")},
      {"cosmos-rl", VideoBody("/data/a.mkv")},
      // A chat with answers: the container ignores those, so they may be anything.
      {"cosmos-rl", R"({"messages":[{"role":"system","content":"Be brief."},)" +
                        UserMessage(R"([{"type":"image_url","image_url":{"url":"/a.png"}}])") +
                        R"(,{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]},)"
                        R"({"role":"tool","content":"42"},{"content":[{"type":"refusal",)"
                        R"("refusal":"No"}],"role":"assistant"},)" +
                        UserMessage(R"("Go on")") + "]}"},
      // What else OpenAI's clients send.
      {"cosmos-rl",
       BodyWith("cosmos-rl",
                R"("stream":true,"stream_options":{"include_usage":true},"n":1,"user":"me",)"
                R"("tools":[{"type":"function"}],"stop":["x"],"logit_bias":{},)"
                R"("response_format":{"type":"text"},"metadata":{"messages":7})")},
      {"cosmos-predict2.5",
       BodyWith("cosmos-predict2.5",
                R"("guidance":6.5,"num_steps":10,"seed":-1,"negative_prompt":"",)"
                R"("max_tokens":93,"temperature":99,"top_p":"ignored")")},
      {"cosmos-predict2.5", ImageBody(png)},
      {"cosmos-predict2.5", VideoBody("data:video/mp4;base64,AAAA")},
      {"cosmos-predict2.5", ImageBody("DATA:IMAGE/PNG;BASE64,AAAA")},
      {"cosmos-predict2.5",
       BodyOfItems(R"({"text":"A cat","type":"text"},{"image_url":{"detail":"low","url":")" + png +
                   R"("},"type":"image_url"})")},
      {"tao-dataservices", BodyWith("tao-dataservices", R"("temperature":-7,"seed":3)")},
      {"tao-dataservices", VideoBody("data:video/x-matroska;base64,AAA=")},
  };
  for (const auto& each : cases) {
    for (const How how : {How{}, How{.arch_is_known = false, .step = 1}}) {
      EXPECT_EQ(Judge(each.arch, each.body, how).status, absl::OkStatus()) << each.body;
    }
  }
}

TEST(BodyCheckTest, WhatIsIgnoredIsSaid) {
  const Judged judged = Judge(
      "cosmos-predict2.5",
      R"({"temperature":0.5,"messages":[{"role":"system","content":"a"},{"role":"user","content":"b"},)"
      R"({"role":"assistant","content":"c"},{"role":"user","content":"d"},{"role":"system","content":"e"}],)"
      R"("top_p":0.5,"max_tokens":77,"guidance":7,"num_steps":35,"seed":1,"negative_prompt":"x"})");
  EXPECT_EQ(judged.status, absl::OkStatus());
  EXPECT_THAT(
      judged.Notices(),
      ElementsAre("messages[2].role: the container ignores messages of role assistant",
                  "messages[3]: the container reads the first user message, and ignores this one",
                  "messages[4]: the container reads the first system message, and ignores this one",
                  "top_p: cosmos-predict2.5 ignores it",
                  "temperature: cosmos-predict2.5 ignores it"));
}

TEST(BodyCheckTest, WhatIsLeftToTheContainerIsSaid) {
  EXPECT_THAT(Judge("cosmos-rl", BodyWith("cosmos-rl", "")).Notices(),
              ElementsAre("max_tokens: not set; the container uses 1024",
                          "top_p: not set; what the container uses then is unknown",
                          "temperature: not set; the container uses 0.7"));
  EXPECT_THAT(
      Judge("cosmos-rl", BodyWith("cosmos-rl", R"("temperature":1,"top_p":1,"max_tokens":5)"))
          .Notices(),
      IsEmpty());
}

TEST(BodyCheckTest, StrictTakesNoticesForFindings) {
  const std::string set = R"("temperature":1,"max_tokens":5)";
  const absl::Status status =
      Judge("cosmos-rl", BodyWith("cosmos-rl", set + R"(,"top_p":2)"), {.strict = true}).status;
  EXPECT_EQ(base::DetailsOf(status).violation_count, 1);
  const base::ErrorDetails details =
      base::DetailsOf(Judge("cosmos-rl", BodyWith("cosmos-rl", set), {.strict = true}).status);
  ASSERT_EQ(details.violations.size(), 1u);
  EXPECT_EQ(details.violations[0].field, "top_p");
  EXPECT_EQ(details.violations[0].right, "a number of more than 0 and at most 1");
  EXPECT_EQ(
      Judge("cosmos-rl", BodyWith("cosmos-rl", set + R"(,"top_p":1)"), {.strict = true}).status,
      absl::OkStatus());
}

TEST(BodyCheckTest, TheFirstFindingsAreToldAndAllAreCounted) {
  std::string items = R"({"type":"x"})";
  for (int i = 1; i < 1000; ++i) items += R"(,{"type":"x"})";
  const absl::Status status = Judge("tao-dataservices", BodyOfItems(items)).status;
  const base::ErrorDetails details = base::DetailsOf(status);
  EXPECT_EQ(details.violations.size(), kMaxFindings);
  EXPECT_EQ(details.violation_count, 1000);
  EXPECT_EQ(details.param, "messages[0].content[0].type");
  EXPECT_EQ(details.violations.back().field, "messages[0].content[49].type");
  EXPECT_THAT(std::string(status.message()), HasSubstr("and 997 more findings"));
}

// The findings of a message that is ignored do not count, those before it do.
TEST(BodyCheckTest, AnIgnoredMessageHasNoFindings) {
  const std::string wrong =
      R"([{"type":"x"},{"type":"image_url","image_url":{"url":"s3://b/a.jpg"}}])";
  const absl::Status status =
      Judge("tao-dataservices", R"({"messages":[)" + UserMessage(wrong) + R"(,{"content":)" +
                                    wrong + R"(,"role":"assistant"}]})")
          .status;
  EXPECT_EQ(base::DetailsOf(status).violation_count, 2);
}

TEST(BodyCheckTest, FindingsOfOneArchAreNotThoseOfAnother) {
  const std::string body = BodyWith("cosmos-rl", R"("guidance":9,"temperature":3)");
  const auto params = [&](std::string_view arch) {
    std::vector<std::string> found;
    for (const auto& each :
         base::DetailsOf(Judge(arch, body, {.arch_is_known = false}).status).violations) {
      found.push_back(each.field + " " + each.right.substr(0, 5));
    }
    return found;
  };
  EXPECT_THAT(params("cosmos-rl"), ElementsAre("guidance no gu", "temperature a num"));
  EXPECT_THAT(params("cosmos-predict2.5"), ElementsAre("guidance a num"));
  EXPECT_THAT(params("tao-dataservices"), ElementsAre("guidance no gu"));
}

TEST(BodyCheckTest, AnArchWithoutARowTakesAnything) {
  const std::string wrong = R"({"messages":7,"temperature":"hot"})";
  for (const How how : {How{.strict = true}, How{.arch_is_known = false, .strict = true}}) {
    EXPECT_EQ(Judge("acme-vlm", wrong, how).status, absl::OkStatus());
    EXPECT_EQ(Judge("", wrong, how).status, absl::OkStatus());
    EXPECT_EQ(Judge("cosmos-rl", wrong, how, nullptr).status, absl::OkStatus());
  }
}

TEST(BodyCheckTest, ANewArchWithItsFieldIsDataAlone) {
  const catalog::ReferencesCopy references;
  catalog::AddAcmeVlm(references);
  references.InsertAfter("request.yaml", "  fields:",
                         "    fps:\n"
                         "      type: number\n"
                         "      help: Frames in a second.\n"
                         "      above: 0\n"
                         "      maximum: 60\n"
                         "      only_for: [acme-vlm]\n");
  references.InsertAfter("request.yaml", "network_arch_constraints:",
                         "  acme-vlm:\n"
                         "    media: optional\n"
                         "    data_uris: accepted\n"
                         "    videos: [gif]\n"
                         "    answer: text\n");
  const auto catalog = catalog::Catalog::Load(references.folder());
  ASSERT_TRUE(catalog.ok()) << catalog.status();
  const auto contracts = Contracts::Build((*catalog)->request());
  const auto judge = [&](std::string_view arch, const std::string& body) {
    const auto details = base::DetailsOf(Judge(arch, body, {}, contracts.get()).status);
    return details.violations.empty() ? "" : details.param + ": " + details.violations[0].right;
  };
  EXPECT_EQ(judge("acme-vlm", BodyWith("acme-vlm", R"("fps":24)")), "");
  EXPECT_EQ(judge("acme-vlm", BodyWith("acme-vlm", R"("fps":0)")),
            "fps: a number of more than 0 and at most 60");
  EXPECT_EQ(judge("cosmos-rl", BodyWith("cosmos-rl", R"("fps":24)")),
            "fps: no fps for cosmos-rl (it is a field of acme-vlm)");
  EXPECT_EQ(judge("acme-vlm", VideoBody("/a.gif")), "");
  EXPECT_EQ(judge("acme-vlm", VideoBody("data:video/anything;base64,AAAA")), "");
  EXPECT_EQ(judge("acme-vlm", ImageBody("/a.png")),
            "messages[0].content[0].image_url.url: a video: acme-vlm takes no other media");
}

TEST(BodyCheckTest, ASecretIsRefusedWithoutSayingWhichOrWhere) {
  const std::string secret = "AAAAB3NzaC1yc2EAAAADAQAB";
  const auto automaton = SecretAutomaton::Build({secret, "another-secret-value"});
  const std::string bodies[] = {
      R"({"messages":[{"role":"user","content":"My key is )" + secret + R"(."}]})",
      R"({"messages":[{"role":"user","content":"AAAAB3Nza\u0043\u0031yc2EAAAADAQAB"}]})",
      R"({"messages":[],"metadata":{")" + secret + R"(":1}})",
      R"({"messages":[],"metadata":{"deep":[[["x",")" + secret + R"("]]]}})",
      R"({"model":")" + secret + R"("})",
      ImageBody("https://example.org/a.png?key=" + secret),
      ImageBody("data:image/png;name=" + secret + ";base64,AAAA"),
  };
  for (const std::string& body : bodies) {
    for (const size_t step : {size_t{0}, size_t{1}, size_t{5}, size_t{64}}) {
      for (const Contracts* contracts : {Release().get(), static_cast<const Contracts*>(nullptr)}) {
        const absl::Status status =
            Judge("tao-dataservices", body, {.step = step, .secrets = automaton.get()}, contracts)
                .status;
        ASSERT_EQ(base::TokenOf(status), base::ErrorToken::kSecretInBody) << body;
        EXPECT_THAT(std::string(status.message()), Not(HasSubstr(secret)));
        EXPECT_EQ(base::DetailsOf(status).param, "");
      }
    }
  }
  // The payload of a data: URI is no text.
  EXPECT_EQ(Judge("tao-dataservices", ImageBody("data:image/png;base64," + secret),
                  {.secrets = automaton.get()})
                .status,
            absl::OkStatus());
}

}  // namespace
}  // namespace tao::contract
