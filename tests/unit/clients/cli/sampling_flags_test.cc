#include "clients/cli/sampling_flags.h"

#include <gmock/gmock.h>

namespace tao::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Words = std::vector<std::string>;

pb::GetRequestSchemaResponse Schema() {
  pb::GetRequestSchemaResponse schema;
  schema.set_network_arch("acme");
  pb::SamplingField& tokens = *schema.add_sampling();
  tokens.set_name("max_tokens");
  tokens.set_type(pb::SAMPLING_TYPE_INT);
  tokens.set_minimum(1);
  tokens.set_help("How long.");
  tokens.mutable_default_value()->set_name("max_tokens");
  tokens.mutable_default_value()->set_int_value(1024);
  pb::SamplingField& top_p = *schema.add_sampling();
  top_p.set_name("top_p");
  top_p.set_type(pb::SAMPLING_TYPE_FLOAT);
  top_p.set_above(0);
  top_p.set_maximum(1);
  top_p.mutable_default_value()->set_float_value(0.8);
  pb::SamplingField& prompt = *schema.add_sampling();
  prompt.set_name("negative_prompt");
  prompt.set_type(pb::SAMPLING_TYPE_STRING);
  prompt.mutable_default_value()->set_left_out(true);
  pb::SamplingField& greedy = *schema.add_sampling();
  greedy.set_name("greedy");
  greedy.set_type(pb::SAMPLING_TYPE_BOOL);
  greedy.mutable_default_value()->set_bool_value(false);
  return schema;
}

TEST(SamplingFlagsTest, AFlagOfTheDaemonsIsJoinedToItsValue) {
  CLI::App app;
  app.add_option("--server");
  CLI::App* const chat = app.add_subcommand("chat");
  chat->add_option("TEXT");
  chat->add_option("--image");
  chat->add_flag("--stream");
  EXPECT_THAT(
      JoinUnknownFlags(*chat, {"--server", "a:1", "chat", "--seed", "-7", "--stream", "hi"}),
      ElementsAre("--server", "a:1", "chat", "--seed=-7", "--stream", "hi"));
  EXPECT_THAT(JoinUnknownFlags(*chat, {"chat", "--image", "a.png", "--top-p=1", "hi", "--top-k"}),
              ElementsAre("chat", "--image", "a.png", "--top-p=1", "hi", "--top-k"));
  EXPECT_THAT(JoinUnknownFlags(*chat, {"chat", "--", "--seed", "7"}),
              ElementsAre("chat", "--", "--seed", "7"));
}

TEST(SamplingFlagsTest, AWordThatIsNoFlagIsRefused) {
  const auto flags = ReadSamplingFlags({"--max-tokens=5", "--top-p=", "--negative-prompt=a=b"});
  ASSERT_TRUE(flags.ok());
  ASSERT_EQ(flags->size(), 3U);
  EXPECT_EQ((*flags)[0].name, "max_tokens");
  EXPECT_EQ((*flags)[2].text, "a=b");
  for (const char* word : {"word", "--", "--=5", "--fast", "-x"}) {
    EXPECT_FALSE(ReadSamplingFlags({word}).ok()) << word;
  }
}

TEST(SamplingFlagsTest, ValuesAreInTheOrderOfTheSchemaAndOfItsTypes) {
  const auto values =
      ToSampling({{"greedy", "true"}, {"negative_prompt", ""}, {"top_p", "1"}, {"max_tokens", "5"}},
                 Schema(), {});
  ASSERT_TRUE(values.ok()) << values.status();
  std::vector<std::string> texts;
  for (const pb::SamplingValue& value : *values) {
    texts.push_back(value.name() + "=" + ValueText(value));
  }
  EXPECT_THAT(texts, ElementsAre("max_tokens=5", "top_p=1", "negative_prompt=", "greedy=true"));
  EXPECT_TRUE(MissingFields(Schema(), *values).empty());
  const auto some = ToSampling({{"top_p", "0.5"}}, Schema(), {});
  EXPECT_EQ(MissingFields(Schema(), *some).size(), 3U);
}

struct RefusedCase {
  std::string name, text, why;
};

TEST(SamplingFlagsTest, WhatDoesNotFitIsRefusedWithWhatDoes) {
  for (const RefusedCase& each : std::vector<RefusedCase>{
           {"max_tokens", "many", "max_tokens is \"many\"; expected int, at least 1"},
           {"max_tokens", "1.5", "expected int, at least 1"},
           {"max_tokens", "0", "expected int, at least 1"},
           {"max_tokens", "", "expected int, at least 1"},
           {"top_p", "0", "top_p is \"0\"; expected number, more than 0 and at most 1"},
           {"top_p", "nan", "expected number"},
           {"top_p", "1.01", "expected number"},
           {"greedy", "yes", "greedy is \"yes\"; expected true or false"},
           {"max_token", "5",
            "--max-token is no flag of chat, and no sampling field of acme, which "
            "has --max-tokens, --top-p, --negative-prompt and --greedy; did you "
            "mean --max-tokens?"},
           {"imag", "x", "did you mean --image?"},
           {"quite_another", "x", "--quite-another is no flag of chat"},
       }) {
    const absl::Status status =
        ToSampling({{each.name, each.text}}, Schema(), {"--image", "--output"}).status();
    EXPECT_THAT(std::string(status.message()), HasSubstr(each.why)) << each.name;
  }
  const absl::Status twice = ToSampling({{"top_p", "1"}, {"top_p", "1"}}, Schema(), {}).status();
  EXPECT_THAT(std::string(twice.message()), HasSubstr("--top-p is given twice"));
}

TEST(SamplingFlagsTest, WithoutASchemaAValueIsWhatItLooksLike) {
  const auto values = GuessSampling({{"a", "7"}, {"b", "0.5"}, {"c", "true"}, {"d", "x"}});
  EXPECT_EQ(values[0].int_value(), 7);
  EXPECT_EQ(values[1].float_value(), 0.5);
  EXPECT_TRUE(values[2].bool_value());
  EXPECT_EQ(values[3].string_value(), "x");
}

TEST(SamplingFlagsTest, TheTableSaysWhatToWrite) {
  const auto schema = Schema();
  const std::vector<pb::SamplingField> fields(schema.sampling().begin(), schema.sampling().end());
  EXPECT_EQ(FieldTable({fields[0]}), "  --max-tokens (int, at least 1; default 1024): How long.\n");
  EXPECT_THAT(FieldTable({fields[2]}), HasSubstr("--negative-prompt (text; default none)"));
}

}  // namespace
}  // namespace tao::cli
