#include "server/platforms/lepton/lepton_render.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace tao::platforms {
namespace {

using Json = nlohmann::json;

constexpr char kJobId[] = "3f3a1b2c-4d5e-4f60-8a1b-2c3d4e5f6071";

launch::LaunchPlan Plan() {
  launch::LaunchPlan plan;
  plan.job_id = kJobId;
  plan.image = "nvcr.io/nvidia/tao:7";
  plan.inner_command = launch::InnerCommand({"serve", "--port", "0"}, 2);
  plan.env = {{"TAO_EXECUTION_BACKEND", "lepton"}};
  plan.mounts = {{.source = "/vol/x", .destination = "/models/x", .read_only = false}};
  return plan;
}

LeptonEndpointPlan Endpoint() {
  return {.name = LeptonName(kJobId),
          .resource_shape = "gpu.2xh100-sxm",
          .node_group_ids = {"ng-1"},
          .image_pull_secret = "tao-image-pull-secret",
          .secret_env = {{"HF_TOKEN", "TAO_HF_TOKEN_3F3A1B2C4D5E"}},
          .token = base::Secret("token-of-the-endpoint"),
          .mount_from = "node-nfs:data"};
}

TEST(LeptonRenderTest, TheLegacyBodyIsTheDocumentedOne) {
  EXPECT_EQ(Json::parse(RenderLeptonEndpoint(Plan(), Endpoint(), LeptonFamily::kDeployments)),
            Json::parse(R"({
      "metadata": {"id": "tao-3f3a1b2c4d5e4f608a1b2c3d4e5f",
                   "name": "tao-3f3a1b2c4d5e4f608a1b2c3d4e5f", "visibility": "private"},
      "spec": {
        "container": {"image": "nvcr.io/nvidia/tao:7",
                      "command": ["/bin/bash", "-c", "umask 0 && serve --port 8080"],
                      "ports": [{"container_port": 8080, "protocol": "TCP"}]},
        "resource_requirement": {
          "resource_shape": "gpu.2xh100-sxm", "min_replicas": 1, "max_replicas": 1,
          "shared_memory_size": 16384,
          "affinity": {"allowed_dedicated_node_groups": ["ng-1"]}},
        "envs": [{"name": "TAO_EXECUTION_BACKEND", "value": "lepton"},
                 {"name": "HF_TOKEN",
                  "value_from": {"secret_name_ref": "TAO_HF_TOKEN_3F3A1B2C4D5E"}}],
        "mounts": [{"path": "/vol/x", "from": "node-nfs:data", "mount_path": "/models/x"}],
        "auto_scaler": {"scale_down": {"no_traffic_timeout": 0}},
        "image_pull_secrets": ["tao-image-pull-secret"],
        "api_tokens": [{"value": "token-of-the-endpoint"}],
        "ingress_timeout_seconds": 1800,
        "log": {"enable_collection": true, "save_termination_logs": true}}})"));
}

TEST(LeptonRenderTest, TheNewBodyHasOneComponentAndNothingOfTheOldNames) {
  EXPECT_EQ(Json::parse(RenderLeptonEndpoint(Plan(), Endpoint(), LeptonFamily::kEndpoints)),
            Json::parse(R"({
      "metadata": {"name": "tao-3f3a1b2c4d5e4f608a1b2c3d4e5f",
                   "lepton_metadata": {"visibility": "private"}},
      "spec": {
        "components": [{
          "name": "default", "image": "nvcr.io/nvidia/tao:7",
          "command": ["/bin/bash", "-c", "umask 0 && serve --port 8080"],
          "ports": [{"container_port": 8080, "protocol": "TCP"}],
          "envs": [{"name": "TAO_EXECUTION_BACKEND", "value": "lepton"},
                   {"name": "HF_TOKEN",
                    "value_from": {"secret_name_ref": "TAO_HF_TOKEN_3F3A1B2C4D5E"}}],
          "resource_shape": "gpu.2xh100-sxm", "min_replicas": 1, "max_replicas": 1,
          "shared_memory_size": 16384,
          "affinity": {"allowed_dedicated_node_groups": ["ng-1"]},
          "mounts": [{"path": "/vol/x", "from": "node-nfs:data", "mount_path": "/models/x"}],
          "autoscaling": {"scale_down": {"no_traffic_timeout": 0}}}],
        "image_pull_secrets": ["tao-image-pull-secret"],
        "api_tokens": [{"value": "token-of-the-endpoint"}],
        "ingress_timeout_seconds": 1800,
        "log": {"enable_collection": true, "save_termination_logs": true}}})"));
}

TEST(LeptonRenderTest, WhatIsNotAskedForIsNotSaid) {
  launch::LaunchPlan plan = Plan();
  plan.mounts.clear();
  LeptonEndpointPlan endpoint = Endpoint();
  endpoint.node_group_ids.clear();
  endpoint.image_pull_secret.clear();
  for (const LeptonFamily family : {LeptonFamily::kDeployments, LeptonFamily::kEndpoints}) {
    const std::string body = RenderLeptonEndpoint(plan, endpoint, family);
    for (const char* const absent : {"affinity", "mounts", "image_pull_secrets"}) {
      EXPECT_EQ(body.find(absent), std::string::npos) << body;
    }
  }
}

TEST(LeptonRenderTest, NamesFitLeptonsRules) {
  const std::string name = LeptonName("0f3a1b2c-4d5e-4f60-8a1b-2c3d4e5f6071");
  EXPECT_EQ(name, "tao-0f3a1b2c4d5e4f608a1b2c3d4e5f");
  EXPECT_EQ(name.size(), 32u);
  EXPECT_TRUE(IsLeptonName(name));
  for (const char* const bad : {"", "0a", "a-", "A", "a/../b", "a?b", "a b"}) {
    EXPECT_FALSE(IsLeptonName(bad)) << bad;
  }
  EXPECT_EQ(LeptonSecretName("HF_TOKEN", kJobId), "TAO_HF_TOKEN_3F3A1B2C4D5E");
  EXPECT_EQ(LeptonSecretSuffix(kJobId), "_3F3A1B2C4D5E");
  EXPECT_TRUE(IsReservedLeptonEnv("LEPTON_WORKSPACE_ID"));
  EXPECT_FALSE(IsReservedLeptonEnv("LEPTON_SHARED_MEMORY_SIZE"));
}

TEST(LeptonRenderTest, SharedMemoryIsInMebibytes) {
  for (const auto& [size, want] : std::initializer_list<std::pair<const char*, int64_t>>{
           {"16g", 16384}, {"2G", 2048}, {"512m", 512}, {"2048k", 2}, {"8388608", 8}, {"1", 1}}) {
    EXPECT_EQ(MebibytesOf(size), want) << size;
  }
}

TEST(LeptonRenderTest, SecretsGoIntoBodiesOnly) {
  EXPECT_EQ(
      Json::parse(RenderLeptonUserSecrets({{"TAO_HF_TOKEN_A", base::Secret("hf_value")}})),
      Json::parse(R"([{"name":"TAO_HF_TOKEN_A","value":"hf_value","visibility":"private"}])"));
  EXPECT_EQ(Json::parse(RenderLeptonImagePullSecret("S", base::Secret("nvapi-x"))), Json::parse(R"({
      "metadata": {"name": "S", "id": "S"},
      "spec": {"registry_server": "https://nvcr.io", "username": "$oauthtoken",
               "password": "nvapi-x"}})"));
  EXPECT_NO_THROW(RenderLeptonUserSecrets({{"N", base::Secret("not\xffutf8")}}));
}

TEST(LeptonRenderTest, PathsOfBothFamilies) {
  EXPECT_EQ(LeptonPath(LeptonFamily::kDeployments, "n"), "/deployments/n");
  EXPECT_EQ(LeptonPath(LeptonFamily::kEndpoints, "n", "replicas"), "/endpoints/n/replicas");
  EXPECT_EQ(LeptonShapesPath({}), "/shapes?purpose=deployment");
  EXPECT_EQ(LeptonShapesPath({"a", "b c"}),
            "/shapes?node_groups=a&node_groups=b%20c&purpose=deployment");
  EXPECT_EQ(LeptonLogQuery(LeptonFamily::kEndpoints, "n", 1, 2, 3),
            "/logs?endpoint=n&start=1&end=2&limit=3&direction=backward&timestamps=true&q=");
  EXPECT_EQ(LeptonLogQuery(LeptonFamily::kDeployments, "n", 1, 2, 3).substr(0, 18),
            "/logs?deployment=n");
}

}  // namespace
}  // namespace tao::platforms
