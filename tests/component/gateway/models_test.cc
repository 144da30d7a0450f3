// GET /v1/models over the wire.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "tests/component/gateway/gateway_harness.h"

namespace tao::gateway {
namespace {

using nlohmann::json;

class ModelsTest : public testing::Test {
 protected:
  ModelsTest() : harness_(Services()) {}

  static std::vector<routing::Service> Services() {
    routing::Service one = ServiceAt(1, "job-1", "predict");
    one.served_names = {"/models/a", "shared"};
    routing::Service two = ServiceAt(2, "job-2", "predict");
    two.served_names = {"shared"};
    two.phase = routing::Phase::kLoading;
    routing::Service three = ServiceAt(3, "job-3", "reason");
    three.served_names = {"org/name"};
    routing::Service failed = ServiceAt(4, "job-4", "broken");
    failed.phase = routing::Phase::kFailed;
    return {one, two, three, failed};
  }

  std::set<std::string> Ids(const std::string& path) {
    std::set<std::string> ids;
    const RawMessage answer = harness_.Ask(Get(path));
    EXPECT_EQ(answer.status(), 200) << path << answer.body;
    const json list = json::parse(answer.body);
    for (const json& model : list["data"]) ids.insert(model["id"]);
    return ids;
  }

  GatewayHarness harness_;
};

TEST_F(ModelsTest, ListsWhatMeansOneService) {
  const std::set<std::string> want = {"job-1",  "job-2",     "job-3",   "job-4",
                                      "reason", "/models/a", "org/name"};
  EXPECT_EQ(Ids("/v1/models"), want);
}

TEST_F(ModelsTest, ScopeOfThePathLimitsTheList) {
  const std::set<std::string> of_service = {"job-1", "predict", "/models/a", "shared"};
  EXPECT_EQ(Ids("/services/job-1/v1/models"), of_service);
  const std::set<std::string> of_arch = {"job-3", "reason", "org/name"};
  EXPECT_EQ(Ids("/archs/reason/v1/models"), of_arch);
  EXPECT_EQ(Ids("/v1/models?job_id=job-1"), of_service);
  EXPECT_EQ(harness_.Ask(Get("/services/nobody/v1/models")).status(), 404);
}

TEST_F(ModelsTest, OneModelByEitherSpellingOfItsId) {
  for (const char* path :
       {"/v1/models/org/name", "/v1/models/org%2Fname", "/services/job-3/v1/models/org%2fname"}) {
    const RawMessage answer = harness_.Ask(Get(path));
    ASSERT_EQ(answer.status(), 200) << path;
    const json model = json::parse(answer.body);
    const json want = {{"id", "org/name"},
                       {"object", "model"},
                       {"created", 1700000000},
                       {"owned_by", "tao"},
                       {"job_id", "job-3"},
                       {"network_arch", "reason"},
                       {"platform", "local-process"},
                       {"phase", "READY"}};
    EXPECT_EQ(model, want);
  }
  EXPECT_EQ(harness_.Ask(Get("/v1/models/shared")).Field("X-TAO-Error"), "model_not_found");
}

}  // namespace
}  // namespace tao::gateway
