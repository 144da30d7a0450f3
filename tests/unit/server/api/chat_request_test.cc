#include "server/api/chat_request.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "server/base/errors.h"
#include "tests/unit/server/api/references.h"

namespace tao::api {
namespace {

constexpr char kArch[] = "cosmos-rl";

std::string TextOf(gateway::InferBody body) {
  std::string text;
  for (bool last = false; !last;) {
    const transport::BodyPiece piece = body.Next();
    text += piece.data;
    last = piece.last;
  }
  return text;
}

pb::ChatRequest Hello() {
  pb::ChatRequest chat;
  pb::ChatMessage& message = *chat.add_messages();
  message.set_role("user");
  message.add_content()->set_text("hello");
  return chat;
}

void SetInt(pb::ChatRequest& chat, const std::string& name, int64_t value) {
  pb::SamplingValue& set = *chat.add_sampling();
  set.set_name(name);
  set.set_int_value(value);
}

std::string BodyOf(pb::ChatRequest chat, const std::string& arch = kArch) {
  absl::StatusOr<ChatBody> body = WriteChatBody(chat, arch, References());
  return body.ok() ? TextOf(std::move(body->json)) : body.status().ToString();
}

// What is wrong with `chat`: "field: description", one a line.
std::string Findings(pb::ChatRequest chat, const std::string& arch = kArch) {
  const absl::StatusOr<ChatBody> body = WriteChatBody(chat, arch, References());
  if (body.ok()) return "";
  EXPECT_EQ(body.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(base::DetailsOf(body.status()).reason, "INVALID_CHAT_REQUEST");
  std::string text;
  for (const base::FieldViolation& each : base::DetailsOf(body.status()).violations) {
    text += each.field + ": " + each.description + "\n";
  }
  return text;
}

TEST(ChatRequestTest, AcceptedDefaultsStandInTheBodyAndAreTold) {
  pb::ChatRequest chat = Hello();
  chat.set_accept_defaults(true);
  absl::StatusOr<ChatBody> body = WriteChatBody(chat, kArch, References());
  ASSERT_TRUE(body.ok()) << body.status();
  EXPECT_EQ(TextOf(std::move(body->json)),
            R"({"model":"cosmos-rl","max_tokens":1024,"top_p":0.8,"temperature":0.7,)"
            R"("messages":[{"role":"user","content":"hello"}]})");
  ASSERT_EQ(body->applied.size(), 3U);
  EXPECT_EQ(body->applied[0].name(), "max_tokens");
  EXPECT_EQ(body->applied[0].int_value(), 1024);
  EXPECT_EQ(body->applied[1].float_value(), 0.8);
}

TEST(ChatRequestTest, EachFieldMustBeChosenBySomebody) {
  pb::ChatRequest chat = Hello();
  SetInt(chat, "temperature", 1);
  EXPECT_EQ(Findings(chat),
            "max_tokens: is not set (at least 1); set it, or accept_defaults, which sets 1024\n"
            "top_p: is not set (more than 0 and at most 1); set it, or accept_defaults, which sets "
            "0.8\n");
  EXPECT_EQ(Findings(Hello(), "tao-dataservices"),
            "max_tokens: is not set (at least 1); set it, or accept_defaults, which sets 1024\n"
            "top_p: is not set (more than 0 and at most 1); set it, or accept_defaults, which sets "
            "0.8\n"
            "temperature: is not set; set it, or accept_defaults, which sets 0.7\n"
            "seed: is not set; set it, or accept_defaults, which sets 0\n");
}

TEST(ChatRequestTest, AFieldWithoutADefaultIsLeftOut) {
  pb::ChatRequest chat = Hello();
  for (const char* name : {"max_tokens", "guidance", "num_steps", "seed"}) SetInt(chat, name, 1);
  EXPECT_EQ(Findings(chat, "cosmos-predict2.5"),
            "negative_prompt: is not set; set it, or left_out, or accept_defaults, which leaves it "
            "out\n");
  pb::SamplingValue& none = *chat.add_sampling();
  none.set_name("negative_prompt");
  none.set_left_out(true);
  EXPECT_EQ(BodyOf(chat, "cosmos-predict2.5"),
            R"({"model":"cosmos-predict2.5","max_tokens":1,"guidance":1,"num_steps":1,"seed":1,)"
            R"("messages":[{"role":"user","content":"hello"}]})");
}

TEST(ChatRequestTest, ValuesKeepTheirKind) {
  pb::ChatRequest chat = Hello();
  pb::SamplingValue& whole = *chat.add_sampling();
  whole.set_name("max_tokens");
  whole.set_float_value(20);
  SetInt(chat, "temperature", 0);
  SetInt(chat, "seed", std::numeric_limits<int64_t>::min());
  pb::SamplingValue& text = *chat.add_sampling();
  text.set_name("top_p");
  text.set_string_value("a \"b\"");  // of the wrong type: the contract says so
  EXPECT_EQ(BodyOf(chat, "tao-dataservices"),
            R"({"model":"tao-dataservices","max_tokens":20,"top_p":"a \"b\"","temperature":0,)"
            R"("seed":-9223372036854775808,"messages":[{"role":"user","content":"hello"}]})");
}

TEST(ChatRequestTest, BadSamplingValues) {
  pb::ChatRequest chat = Hello();
  chat.set_accept_defaults(true);
  SetInt(chat, "max_token", 5);
  SetInt(chat, "guidance", 5);
  SetInt(chat, "max_tokens", 5);
  SetInt(chat, "max_tokens", 6);
  chat.add_sampling()->set_name("top_p");
  pb::SamplingValue& infinite = *chat.add_sampling();
  infinite.set_name("temperature");
  infinite.set_float_value(std::numeric_limits<double>::infinity());
  SetInt(chat, "", 1);
  EXPECT_EQ(
      Findings(chat),
      "chat.sampling[0]: \"max_token\" is no sampling field of cosmos-rl, which has max_tokens, "
      "top_p and temperature; did you mean \"max_tokens\"?; members of the body beyond these go "
      "into other_members\n"
      "chat.sampling[1]: \"guidance\" is no sampling field of cosmos-rl, which has max_tokens, "
      "top_p and temperature\n"
      "chat.sampling[3]: \"max_tokens\" is given twice\n"
      "chat.sampling[4]: \"top_p\" has no value; left_out = true leaves it to the container\n"
      "chat.sampling[5]: \"temperature\" is no finite number; JSON has no other\n"
      "chat.sampling[6]: has no name\n");
}

TEST(ChatRequestTest, MediaAreWrittenAsTheContainerReadsThem) {
  pb::ChatRequest chat;
  chat.set_model("a name");
  chat.set_stream(true);
  chat.set_accept_defaults(true);
  pb::ChatMessage& system = *chat.add_messages();
  system.set_role("system");
  system.add_content()->set_text("be\nbrief");
  pb::ChatMessage& message = *chat.add_messages();
  message.set_role("user");
  message.add_content()->mutable_image()->set_url("https://x/a.png");
  pb::Media& video = *message.add_content()->mutable_video();
  video.set_data("abcd");
  video.set_mime_type("video/mp4");
  message.add_content()->set_text("What moves?");
  EXPECT_EQ(BodyOf(chat),
            R"({"model":"a name","stream":true,"max_tokens":1024,"top_p":0.8,"temperature":0.7,)"
            R"("messages":[{"role":"system","content":"be\nbrief"},{"role":"user","content":[)"
            R"({"type":"image_url","image_url":{"url":"https://x/a.png"}},)"
            R"({"type":"video_url","video_url":{"url":"data:video/mp4;base64,YWJjZA=="}},)"
            R"({"type":"text","text":"What moves?"}]}]})");
  ASSERT_TRUE(WriteChatBody(chat, kArch, References()).ok());
  EXPECT_EQ(video.data(), "") << "taken, not copied";
}

TEST(ChatRequestTest, OtherMembersAreRelayed) {
  pb::ChatRequest chat = Hello();
  chat.set_accept_defaults(true);
  auto& others = *chat.mutable_other_members()->mutable_fields();
  auto& list = *others["stop"].mutable_list_value();
  list.add_values()->set_string_value("\n");
  list.add_values()->set_number_value(1.5);
  list.add_values()->set_bool_value(true);
  list.add_values()->set_null_value(google::protobuf::NULL_VALUE);
  (*list.add_values()->mutable_struct_value()->mutable_fields())["a"].set_number_value(3);
  EXPECT_NE(BodyOf(chat).find(R"(,"stop":["\n",1.5,true,null,{"a":3}],"messages")"),
            std::string::npos)
      << BodyOf(chat);
}

TEST(ChatRequestTest, WhatIsMissingIsNamedAtOnce) {
  pb::ChatRequest chat;
  chat.set_accept_defaults(true);
  EXPECT_EQ(Findings(chat), "messages: is empty; at least one is needed\n");

  pb::ChatMessage& message = *chat.add_messages();
  message.add_content();
  message.add_content()->mutable_image();
  message.add_content()->mutable_image()->set_data("x");
  pb::Media& typed = *message.add_content()->mutable_video();
  typed.set_url("https://x/v.mp4");
  typed.set_mime_type("video/mp4");
  pb::Media& quoted = *message.add_content()->mutable_image();
  quoted.set_data("x");
  quoted.set_mime_type("image/png\";");
  chat.add_messages()->set_role("user");
  auto& others = *chat.mutable_other_members()->mutable_fields();
  others["model"].set_string_value("x");
  EXPECT_EQ(
      Findings(chat),
      "chat.other_members.model: has a field of its own in ChatRequest\n"
      "messages[0].role: is empty; one of system and user is needed\n"
      "messages[0].content[0]: is empty; a text, an image or a video is needed\n"
      "messages[0].content[1].image: is empty; a url or data is needed\n"
      "messages[0].content[2].image.mime_type: is empty; data needs one, e.g. image/png\n"
      "messages[0].content[3].video.mime_type: belongs to data alone; what a URL holds shows "
      "there\n"
      "messages[0].content[4].image.mime_type: is \"image/png\\\";\"; expected a type such as "
      "image/png, without parameters\n"
      "messages[1].content: is empty; at least one part is needed\n");
  others.clear();
  others["seed"].set_number_value(1);
  others["x"].set_number_value(std::numeric_limits<double>::quiet_NaN());
  const std::string found = Findings(chat);
  EXPECT_NE(found.find("chat.other_members.seed: belongs into `sampling`\n"), std::string::npos);
  EXPECT_NE(found.find("chat.other_members.x: holds a number that is not finite"),
            std::string::npos);
}

// Another tool's service, of a model that the references say nothing about.
TEST(ChatRequestTest, AnArchWithoutASchemaTakesWhatIsSet) {
  pb::ChatRequest chat = Hello();
  SetInt(chat, "beams", 4);
  EXPECT_EQ(BodyOf(chat, "other"),
            R"({"model":"other","beams":4,"messages":[{"role":"user","content":"hello"}]})");
}

}  // namespace
}  // namespace tao::api
