#include "server/api/request_schema.h"

#include <gtest/gtest.h>

#include "server/base/errors.h"
#include "tests/unit/server/api/references.h"

namespace tao::api {
namespace {

constexpr char kJob[] = "11111111-1111-4111-8111-111111111111";

std::string Names(const pb::GetRequestSchemaResponse& schema) {
  std::string names;
  for (const pb::SamplingField& field : schema.sampling()) names += field.name() + " ";
  return names;
}

absl::StatusOr<pb::GetRequestSchemaResponse> Ask(const pb::GetRequestSchemaRequest& request) {
  std::vector<routing::Service> services(2);
  services[0].job_id = kJob;
  services[0].network_arch = "cosmos-predict2.5";
  services[0].phase = routing::Phase::kReady;
  services[1].job_id = "foreign";
  services[1].network_arch = "cosmos-xl";
  services[1].phase = routing::Phase::kReady;
  return GetRequestSchema(request, References(), *routing::RouteTable::Build(std::move(services)));
}

absl::StatusOr<pb::GetRequestSchemaResponse> OfArch(const std::string& name) {
  pb::GetRequestSchemaRequest request;
  request.set_network_arch(name);
  return Ask(request);
}

absl::StatusOr<pb::GetRequestSchemaResponse> OfJob(const std::string& job_id) {
  pb::GetRequestSchemaRequest request;
  request.set_job_id(job_id);
  return Ask(request);
}

TEST(RequestSchemaTest, ListsWhatAppliesInOrder) {
  EXPECT_EQ(Names(*OfArch("cosmos-rl")), "max_tokens top_p temperature ");
  EXPECT_EQ(Names(*OfArch("Tao-DataServices")), "max_tokens top_p temperature seed ");
  EXPECT_EQ(Names(*OfJob(kJob)), "max_tokens guidance num_steps seed negative_prompt ");
}

TEST(RequestSchemaTest, AFieldSaysEverythingThatIsKnown) {
  const pb::GetRequestSchemaResponse schema = *OfArch("cosmos-rl");
  EXPECT_EQ(schema.network_arch(), "cosmos-rl");
  EXPECT_EQ(schema.client_timeout().seconds(), 300);
  EXPECT_EQ(std::vector<std::string>(schema.roles().begin(), schema.roles().end()),
            (std::vector<std::string>{"system", "user"}));
  const pb::SamplingField& max_tokens = schema.sampling(0);
  EXPECT_EQ(max_tokens.type(), pb::SAMPLING_TYPE_INT);
  EXPECT_EQ(max_tokens.default_value().name(), "max_tokens");
  EXPECT_EQ(max_tokens.default_value().int_value(), 1024);
  EXPECT_EQ(max_tokens.container_default().int_value(), 1024);
  EXPECT_EQ(max_tokens.minimum(), 1);
  EXPECT_FALSE(max_tokens.has_above());
  EXPECT_FALSE(max_tokens.has_maximum());
  EXPECT_FALSE(max_tokens.help().empty());
  const pb::SamplingField& top_p = schema.sampling(1);
  EXPECT_EQ(top_p.type(), pb::SAMPLING_TYPE_FLOAT);
  EXPECT_EQ(top_p.default_value().float_value(), 0.8);
  EXPECT_FALSE(top_p.has_container_default()) << "not known";
  EXPECT_TRUE(top_p.has_above());
  EXPECT_EQ(top_p.above(), 0);
  EXPECT_EQ(top_p.maximum(), 1);

  const pb::GetRequestSchemaResponse video = *OfArch("cosmos-predict2.5");
  EXPECT_EQ(video.sampling(1).type(), pb::SAMPLING_TYPE_NUMBER);
  EXPECT_EQ(video.sampling(1).default_value().int_value(), 7);
  EXPECT_EQ(video.sampling(4).type(), pb::SAMPLING_TYPE_STRING);
  EXPECT_TRUE(video.sampling(4).default_value().left_out());
}

TEST(RequestSchemaTest, MediaFollowTheArch) {
  const pb::MediaRules media = OfArch("cosmos-rl")->media();
  EXPECT_EQ(media.need(), pb::MediaRules::NEED_REQUIRED);
  EXPECT_FALSE(media.takes_data());
  EXPECT_EQ(media.image_extensions(0), "jpg");
  EXPECT_EQ(media.answer(), pb::MediaRules::ANSWER_TEXT);
  const pb::MediaRules video = OfArch("cosmos-predict2.5")->media();
  EXPECT_EQ(video.need(), pb::MediaRules::NEED_OPTIONAL);
  EXPECT_TRUE(video.takes_data());
  EXPECT_EQ(video.mime_types_size(), 5);
  EXPECT_EQ(video.answer(), pb::MediaRules::ANSWER_VIDEO_DATA_URI);
}

TEST(RequestSchemaTest, WhatIsNotThereIsNotFound) {
  const absl::Status arch = OfArch("cosmos-lr").status();
  EXPECT_EQ(arch.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(base::DetailsOf(arch).reason, "ARCH_NOT_FOUND");
  EXPECT_NE(std::string(arch.message()).find("did you mean \"cosmos-rl\"?"), std::string::npos)
      << arch;
  const absl::Status job = OfJob("22222222-2222-4222-8222-222222222222").status();
  EXPECT_EQ(base::TokenOf(job), base::ErrorToken::kServiceNotFound);
  const absl::Status foreign = OfJob("foreign").status();
  EXPECT_EQ(foreign.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(std::string(foreign.message()).find("of service foreign"), std::string::npos)
      << foreign;
  EXPECT_EQ(Ask({}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tao::api
