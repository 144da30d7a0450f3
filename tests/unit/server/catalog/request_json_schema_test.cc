#include "server/catalog/request_json_schema.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "server/catalog/catalog.h"
#include "server/catalog/sampling.h"

namespace tao::catalog {
namespace {

using Json = nlohmann::ordered_json;

const RequestSchema& Schema() {
  static const auto& catalog = *new std::shared_ptr<const Catalog>(
      *Catalog::Load(std::string(TAO_SOURCE_DIR) + "/references"));
  return catalog->request();
}

Json SchemaOf(const std::string& network_arch) {
  return Json::parse(RequestJsonSchema(Schema(), network_arch));
}

std::vector<std::string> Names(const Json& object) {
  std::vector<std::string> names;
  for (const auto& [name, value] : object.items()) names.push_back(name);
  return names;
}

TEST(RequestJsonSchemaTest, ListsWhatAppliesInTheOrderOfTheFile) {
  using List = std::vector<std::string>;
  EXPECT_EQ(Names(SchemaOf("cosmos-rl")["properties"]),
            (List{"model", "messages", "stream", "max_tokens", "top_p", "temperature"}));
  EXPECT_EQ(Names(SchemaOf("cosmos-predict2.5")["properties"]),
            (List{"model", "messages", "stream", "max_tokens", "guidance", "num_steps", "seed",
                  "negative_prompt"}));
  EXPECT_EQ(Names(SchemaOf("tao-dataservices")["properties"]),
            (List{"model", "messages", "stream", "max_tokens", "top_p", "temperature", "seed"}));
}

TEST(RequestJsonSchemaTest, AFieldHasItsTypeRangeDefaultAndHelp) {
  const Json fields = SchemaOf("cosmos-rl")["properties"];
  EXPECT_EQ(fields["max_tokens"]["type"], "integer");
  EXPECT_EQ(fields["max_tokens"]["minimum"], 1);
  EXPECT_EQ(fields["max_tokens"]["default"], 1024);
  EXPECT_EQ(fields["max_tokens"]["x-tao-container-default"], 1024);
  EXPECT_EQ(fields["top_p"]["type"], "number");
  EXPECT_EQ(fields["top_p"]["exclusiveMinimum"], 0);
  EXPECT_EQ(fields["top_p"]["maximum"], 1);
  EXPECT_EQ(fields["top_p"]["default"], 0.8);
  EXPECT_FALSE(fields["top_p"].contains("x-tao-container-default"));
  EXPECT_FALSE(fields["temperature"]["description"].get<std::string>().empty());
  const Json video = SchemaOf("cosmos-predict2.5")["properties"];
  EXPECT_EQ(video["max_tokens"]["description"], "Number of output frames.");
  EXPECT_EQ(video["max_tokens"]["default"], 77);
  EXPECT_FALSE(video["negative_prompt"].contains("default"));
}

TEST(RequestJsonSchemaTest, MediaFollowTheArch) {
  const Json required = SchemaOf("cosmos-rl")["properties"]["messages"];
  EXPECT_EQ(required["contains"]["properties"]["content"]["contains"]["properties"]["type"]["enum"],
            (Json{"image_url", "video_url"}));
  const Json item = required["items"]["properties"]["content"]["anyOf"][1]["items"]["anyOf"][1];
  EXPECT_EQ(item["properties"]["type"]["const"], "image_url");
  const Json url = item["properties"]["image_url"]["properties"]["url"];
  EXPECT_EQ(url["pattern"], "^(?!(?:s3://|gs://|az://|cs://|aws://|data:))");
  EXPECT_NE(url["description"].get<std::string>().find("jpg, jpeg, png, bmp, tiff"),
            std::string::npos);
  const Json optional = SchemaOf("cosmos-predict2.5")["properties"]["messages"];
  EXPECT_EQ(optional["contains"]["properties"], (Json{{"role", {{"const", "user"}}}}));
}

// What an arch without a row of its own accepts is not known; its fields are those of every arch.
TEST(RequestJsonSchemaTest, AnArchWithoutARowHasTheFieldsOfAll) {
  const Json schema = SchemaOf("acme-vlm");
  EXPECT_EQ(Names(schema["properties"]),
            (std::vector<std::string>{"model", "messages", "stream", "max_tokens", "top_p",
                                      "temperature"}));
  EXPECT_EQ(schema["properties"]["max_tokens"]["default"], 8192);
}

}  // namespace
}  // namespace tao::catalog
