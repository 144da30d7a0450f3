#include "server/catalog/catalog.h"

#include <gmock/gmock.h>

#include <map>

#include "tests/unit/server/catalog/references_copy.h"

namespace tao::catalog {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;

std::shared_ptr<const Catalog> LoadFrom(const std::string& folder) {
  absl::StatusOr<std::shared_ptr<const Catalog>> catalog = Catalog::Load(folder);
  EXPECT_TRUE(catalog.ok()) << catalog.status();
  return catalog.ok() ? *catalog : nullptr;
}

std::shared_ptr<const Catalog> Release() {
  return LoadFrom(std::string(TAO_SOURCE_DIR) + "/references");
}

EnvironmentLookup Environment(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
}

TEST(CatalogTest, ReleaseHasItsArchsWithImageKeyAndModelPathKind) {
  const auto catalog = Release();
  ASSERT_NE(catalog, nullptr);
  ASSERT_THAT(catalog->arch_names(),
              ElementsAre("cosmos-rl", "cosmos-predict2.5", "tao-dataservices"));
  const struct {
    const char *name, *image_key, *kind, *image;
    bool port_flag, model_key, env_payload;
  } wanted[] = {
      {"cosmos-rl", "COSMOS_RL", "file", "nvcr.io/nvidia/tao/tao-toolkit:7.0.0-cosmos-rl", false,
       false, true},
      {"cosmos-predict2.5", "COSMOS_PREDICT2_5", "folder",
       "nvcr.io/nvidia/tao/tao-toolkit:7.0.0-cosmos-predict", true, true, false},
      {"tao-dataservices", "TAO_DATASERVICES", "folder",
       "nvcr.io/nvidia/tao/tao-toolkit:7.0.0-data-services", true, false, true},
  };
  for (const auto& want : wanted) {
    SCOPED_TRACE(want.name);
    const Arch* arch = catalog->FindArch(want.name);
    ASSERT_NE(arch, nullptr);
    EXPECT_EQ(arch->image_key, want.image_key);
    EXPECT_EQ(ToString(arch->model_path_kind), want.kind);
    EXPECT_EQ(catalog->ResolveImage(arch->image_key, Environment({})).reference, want.image);
    EXPECT_EQ(arch->has_port_flag(), want.port_flag);
    EXPECT_EQ(arch->takes_model_key(), want.model_key);
    EXPECT_EQ(arch->needs_env_payload, want.env_payload);
  }
}

TEST(CatalogTest, ArchsAreFoundInAnyCase) {
  const auto catalog = Release();
  ASSERT_NE(catalog->FindArch("Cosmos-Predict2.5"), nullptr);
  EXPECT_EQ(catalog->FindArch("Cosmos-Predict2.5")->name, "cosmos-predict2.5");
  EXPECT_EQ(catalog->FindArch("cosmos"), nullptr);
  EXPECT_EQ(catalog->FindArch(""), nullptr);
}

struct ImageCase {
  std::string name, image_key, variable, value, want_reference, want_source;
};

class ResolveImageTest : public testing::TestWithParam<ImageCase> {};

TEST_P(ResolveImageTest, TakesTheOverrideThenTheMappingThenTheFallback) {
  const ImageCase& param = GetParam();
  const Catalog::Image image =
      Release()->ResolveImage(param.image_key, Environment({{param.variable, param.value}}));
  EXPECT_EQ(image.reference, param.want_reference);
  EXPECT_EQ(image.source, param.want_source);
}

constexpr char kRl[] = "nvcr.io/nvidia/tao/tao-toolkit:7.0.0-cosmos-rl";
constexpr char kUnknown[] = " (image key ACME is unknown, so COSMOS_RL's image is used)";

INSTANTIATE_TEST_SUITE_P(
    Rules, ResolveImageTest,
    testing::ValuesIn<ImageCase>({
        {"Mapped", "COSMOS_RL", "X", "", kRl, "versions.yaml tao_toolkit.cosmos_rl"},
        {"OverrideIsAnImage", "COSMOS_RL", "IMAGE_COSMOS_RL", "mine/rl:2", "mine/rl:2",
         "IMAGE_COSMOS_RL"},
        {"OverrideIsAVersionsKey", "COSMOS_RL", "IMAGE_COSMOS_RL", "tao_toolkit.vila",
         "nvcr.io/nvidia/tao/tao-toolkit:6.26.3-vila",
         "IMAGE_COSMOS_RL, versions.yaml tao_toolkit.vila"},
        {"WhatLooksLikeAKeyButIsNoneIsAnImage", "COSMOS_RL", "IMAGE_COSMOS_RL", "tao_toolkit.none",
         "tao_toolkit.none", "IMAGE_COSMOS_RL"},
        {"EmptyOverrideIsNone", "COSMOS_RL", "IMAGE_COSMOS_RL", "", kRl,
         "versions.yaml tao_toolkit.cosmos_rl"},
        {"OverrideOfAnotherKeyIsNone", "COSMOS_RL", "IMAGE_TAO_DATASERVICES", "mine/ds:2", kRl,
         "versions.yaml tao_toolkit.cosmos_rl"},
        {"UnknownKeyFallsBack", "ACME", "X", "", kRl,
         std::string("versions.yaml tao_toolkit.cosmos_rl") + kUnknown},
        {"UnknownKeyFallsBackToTheOverrideToo", "ACME", "IMAGE_COSMOS_RL", "mine/rl:2", "mine/rl:2",
         std::string("IMAGE_COSMOS_RL") + kUnknown},
        {"UnknownKeyHasItsOwnOverride", "ACME", "IMAGE_ACME", "acme/vlm", "acme/vlm", "IMAGE_ACME"},
    }),
    [](const auto& test) { return test.param.name; });

TEST(CatalogTest, EnvironmentNamesAreClassified) {
  const auto catalog = Release();
  EXPECT_EQ(catalog->plain_env_names().size(), 25u);
  EXPECT_THAT(catalog->plain_env_names(), IsSupersetOf({"WANDB_PROJECT", "TAO_LOG_LEVEL"}));
  EXPECT_THAT(catalog->secrets().passed_on,
              ElementsAre("HF_TOKEN", "WANDB_API_KEY", "CLEARML_API_ACCESS_KEY",
                          "CLEARML_API_SECRET_KEY", "TAO_API_KEY", "TAO_USER_KEY"));
  EXPECT_THAT(catalog->secrets().own,
              ElementsAre("NGC_KEY", "LEPTON_AUTH_TOKEN", "BREV_API_TOKEN"));
  EXPECT_THAT(catalog->forbidden_env_names(),
              ElementsAre("TAO_LOGGING_SERVER_URL", "TAO_ADMIN_KEY"));
  // A name is in one class only.
  for (const std::string& secret : catalog->secrets().passed_on) {
    EXPECT_THAT(catalog->plain_env_names(), Not(Contains(secret)));
  }
  std::vector<std::string> ours;
  for (const auto& [name, value] : catalog->payload_env()) {
    EXPECT_THAT(catalog->plain_env_names(), Not(Contains(name)));
    ours.push_back(name);
  }
  EXPECT_THAT(ours, ElementsAre("TAO_EXECUTION_BACKEND", "TAO_API_JOB_ID", "CLOUD_BASED"));
}

const RequestField* FieldOf(const RequestSchema& schema, std::string_view name) {
  const auto field = std::find_if(schema.chat.fields.begin(), schema.chat.fields.end(),
                                  [&](const RequestField& each) { return each.name == name; });
  return field == schema.chat.fields.end() ? nullptr : &*field;
}

TEST(CatalogTest, RequestFieldsDifferByArch) {
  const RequestSchema schema = Release()->request();
  constexpr FieldUse kApplies = FieldUse::kApplies;
  constexpr FieldUse kIgnored = FieldUse::kIgnored;
  constexpr FieldUse kForeign = FieldUse::kForeign;
  const struct {
    const char *field, *arch;
    FieldUse use;
    const char *default_text, *container_default;
    double inside, outside;  // equal: every number is inside
  } wanted[] = {
      {"max_tokens", "cosmos-rl", kApplies, "1024", "1024", 1, 0},
      {"max_tokens", "tao-dataservices", kApplies, "1024", "1024", 1, 0},
      {"max_tokens", "cosmos-predict2.5", kApplies, "77", "", 1, 0},
      {"max_tokens", "acme-vlm", kApplies, "8192", "", 1, 0},
      {"top_p", "cosmos-rl", kApplies, "0.8", "", 1, 0},
      {"top_p", "tao-dataservices", kApplies, "0.8", "", 0.01, 1.01},
      {"top_p", "cosmos-predict2.5", kIgnored, "0.8", "", 1, 0},
      {"temperature", "cosmos-rl", kApplies, "0.7", "0.7", 0, 2.1},
      {"temperature", "tao-dataservices", kApplies, "0.7", "0.7", 99, 99},
      {"temperature", "cosmos-predict2.5", kIgnored, "0.7", "", 0, -1},
      {"guidance", "cosmos-predict2.5", kApplies, "7", "", 7, 7.5},
      {"guidance", "cosmos-rl", kForeign, "7", "", 7, 7.5},
      {"num_steps", "cosmos-predict2.5", kApplies, "35", "", 1, 0},
      {"seed", "cosmos-predict2.5", kApplies, "0", "", -5, -5},
      {"seed", "tao-dataservices", kApplies, "0", "", -5, -5},
      {"seed", "cosmos-rl", kForeign, "0", "", -5, -5},
      {"negative_prompt", "cosmos-predict2.5", kApplies, "", "", 0, 0},
      {"negative_prompt", "acme-vlm", kForeign, "", "", 0, 0},
  };
  for (const auto& want : wanted) {
    SCOPED_TRACE(std::string(want.field) + " of " + want.arch);
    const RequestField* const field = FieldOf(schema, want.field);
    ASSERT_NE(field, nullptr);
    const FieldRule& rule = field->RuleFor(want.arch);
    EXPECT_EQ(rule.use, want.use);
    EXPECT_EQ(rule.default_text, want.default_text);
    EXPECT_EQ(rule.container_default, want.container_default);
    EXPECT_TRUE(rule.range.Holds(want.inside));
    EXPECT_EQ(rule.range.Holds(want.outside), want.outside == want.inside);
  }
}

TEST(CatalogTest, EveryRequestFieldHasItsHelp) {
  const RequestSchema schema = Release()->request();
  ASSERT_FALSE(schema.chat.fields.empty());
  for (const RequestField& field : schema.chat.fields) EXPECT_NE(field.help, "") << field.name;
  EXPECT_EQ(FieldOf(schema, "max_tokens")->RuleFor("cosmos-predict2.5").meaning,
            "number of output frames");
}

TEST(CatalogTest, RolesAndContentItemsAreTold) {
  const ChatBody chat = Release()->request().chat;
  EXPECT_THAT(chat.roles, ElementsAre("system", "user"));
  EXPECT_THAT(chat.openai_roles,
              ElementsAre("developer", "system", "user", "assistant", "tool", "function"));
  std::vector<std::string> items;
  for (const ContentItem& item : chat.content_items) {
    items.push_back(item.name + " " + std::string(ToString(item.kind)));
  }
  EXPECT_THAT(items, ElementsAre("text text", "image_url image", "video_url video"));
}

TEST(RangeTest, IsToldToPeople) {
  EXPECT_EQ(ToText({}), "");
  EXPECT_EQ(ToText({.minimum = 1}), "at least 1");
  EXPECT_EQ(ToText({.above = 0, .maximum = 1}), "more than 0 and at most 1");
  EXPECT_EQ(ToText({.minimum = 0, .maximum = 2}), "from 0 to 2");
  EXPECT_EQ(ToText({.maximum = 0.5}), "at most 0.5");
}

TEST(CatalogTest, AFieldOfANewArchIsAddedAsDataAlone) {
  const ReferencesCopy references;
  AddAcmeVlm(references);
  references.InsertAfter("request.yaml", "  fields:",
                         "    deep_think:\n"
                         "      type: bool\n"
                         "      help: Thinks before it answers.\n"
                         "      default: false\n"
                         "      container_default: true\n"
                         "      only_for: [acme-vlm]\n");
  const auto catalog = LoadFrom(references.folder());
  ASSERT_NE(catalog, nullptr);
  const RequestField* const field = FieldOf(catalog->request(), "deep_think");
  ASSERT_NE(field, nullptr);
  EXPECT_EQ(field->type, FieldType::kBool);
  EXPECT_EQ(field->RuleFor("acme-vlm").use, FieldUse::kApplies);
  EXPECT_EQ(field->RuleFor("acme-vlm").container_default, "true");
  EXPECT_EQ(field->RuleFor("cosmos-rl").use, FieldUse::kForeign);
}

TEST(CatalogTest, RequestYamlTellsReadinessConstraintsAndErrors) {
  const RequestSchema schema = Release()->request();
  EXPECT_EQ(schema.readiness.readiness_path, "/api/v1/health/readiness");
  EXPECT_EQ(schema.readiness.interval_s, 10);
  EXPECT_EQ(schema.readiness.timeout_s, 5);
  EXPECT_EQ(schema.readiness.total_s, 600);
  std::vector<std::string> failed;
  for (const ReadinessState& state : schema.readiness.states) {
    if (state.meaning != ReadinessMeaning::kFailed) continue;
    failed.push_back(state.reason);
    failed.push_back(state.error_type);
  }
  EXPECT_THAT(failed, ElementsAre("initialization_failed", "initialization_error",
                                  "model_load_failed", "model_load_error"));
  EXPECT_EQ(schema.archs.at("cosmos-rl").media, MediaRule::kRequired);
  EXPECT_FALSE(schema.archs.at("cosmos-rl").data_uris);
  EXPECT_EQ(schema.archs.at("cosmos-rl").timeouts, base::TimeoutOverrides());
  EXPECT_EQ(schema.archs.at("cosmos-predict2.5").answer, AnswerKind::kVideoDataUri);
  EXPECT_EQ(schema.archs.at("cosmos-predict2.5").modes.at("image"), "image2world");
  EXPECT_EQ(schema.errors.size(), 7u);
  EXPECT_EQ(schema.chat.client_timeout_s, 300);
}

TEST(CatalogTest, AnArchIsAddedAsDataAlone) {
  const ReferencesCopy references;
  AddAcmeVlm(references);
  const auto catalog = LoadFrom(references.folder());
  ASSERT_NE(catalog, nullptr);
  const Arch* arch = catalog->FindArch("ACME-VLM");
  ASSERT_NE(arch, nullptr);
  EXPECT_EQ(ToString(arch->model_path_kind), "folder");
  EXPECT_TRUE(arch->has_port_flag());
  EXPECT_THAT(arch->required_secrets, ElementsAre("HF_TOKEN"));
  EXPECT_EQ(catalog->ResolveImage(arch->image_key, Environment({})).reference,
            "registry.example/acme/vlm:1.0");
}

TEST(CatalogTest, MissingFolderIsToldWithTheFlag) {
  const auto catalog = Catalog::Load("/nonexistent/references");
  EXPECT_EQ(catalog.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(catalog.status().message()), HasSubstr("--references"));
}

}  // namespace
}  // namespace tao::catalog
