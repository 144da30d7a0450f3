// The daemon's environment -> the workspace that is asked.

#include <gmock/gmock.h>

#include <map>

#include "server/base/secret.h"
#include "server/base/strings.h"
#include "server/platforms/lepton/lepton_api.h"

namespace tao::platforms {
namespace {

using testing::HasSubstr;

absl::StatusOr<LeptonWorkspace> Of(const std::map<std::string, std::string>& environment) {
  return LeptonWorkspaceOf([environment](const std::string& name) {
    const auto found = environment.find(name);
    return found == environment.end() ? std::nullopt : std::optional<std::string>(found->second);
  });
}

TEST(LeptonWorkspaceOfTest, TheAddressAndTheOriginAreDgxClouds) {
  const auto workspace = Of({{"LEPTON_WORKSPACE_ID", "ws1"}, {"LEPTON_AUTH_TOKEN", "tok-12345"}});
  ASSERT_TRUE(workspace.ok());
  EXPECT_EQ(workspace->url, "https://gateway.dgxc-lepton.nvidia.com/api/v2/workspaces/ws1");
  EXPECT_EQ(workspace->origin, "https://gateway.dgxc-lepton.nvidia.com");
  EXPECT_EQ(workspace->token.Reveal(), "tok-12345");
}

TEST(LeptonWorkspaceOfTest, BothOverridesAreObeyed) {
  EXPECT_EQ(Of({{"LEPTON_WORKSPACE_ID", "ws1"},
                {"LEPTON_AUTH_TOKEN", "t"},
                {"LEPTON_API_BASE_URL", "https://other:8443/"}})
                ->url,
            "https://other:8443/api/v2/workspaces/ws1");
  const auto whole = Of({{"LEPTON_AUTH_TOKEN", "t"},
                         {"LEPTON_API_BASE_URL", "https://ignored"},
                         {"LEPTON_WORKSPACE_URL", "https://other:8443/w/ws2/"}});
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(whole->url, "https://other:8443/w/ws2");
  EXPECT_EQ(whole->origin, "https://other:8443");
}

TEST(LeptonWorkspaceOfTest, TheConsolesOneCredentialIsTakenApart) {
  for (const auto& environment : std::vector<std::map<std::string, std::string>>{
           {{"LEPTON_WORKSPACE_ID", "ws1:tok-credential:1"}},
           {{"LEPTON_AUTH_TOKEN", "ws1:tok-credential:1"}},
           {{"LEPTON_WORKSPACE_ID", "ws1"}, {"LEPTON_AUTH_TOKEN", "ws1:tok-credential:1"}}}) {
    const auto workspace = Of(environment);
    ASSERT_TRUE(workspace.ok());
    EXPECT_EQ(workspace->id, "ws1");
    EXPECT_EQ(workspace->token.Reveal(), "tok-credential:1");
  }
  EXPECT_EQ(base::Redact("tok-credential:1"), "***");
}

TEST(LeptonWorkspaceOfTest, WhatIsMissingOrWrongIsNamed) {
  struct Row {
    std::map<std::string, std::string> environment;
    const char* told;
  };
  for (const Row& row : {
           Row{{}, "needs LEPTON_WORKSPACE_ID and LEPTON_AUTH_TOKEN in"},
           Row{{{"LEPTON_WORKSPACE_ID", "ws1"}}, "needs LEPTON_AUTH_TOKEN in"},
           Row{{{"LEPTON_AUTH_TOKEN", "t"}}, "needs LEPTON_WORKSPACE_ID in"},
           Row{{{"LEPTON_WORKSPACE_ID", "a/../b"}, {"LEPTON_AUTH_TOKEN", "t"}}, "no id"},
           Row{{{"LEPTON_WORKSPACE_ID", "ws1"},
                {"LEPTON_AUTH_TOKEN", "t"},
                {"LEPTON_API_BASE_URL", "http://plain"}},
               "LEPTON_API_BASE_URL: \"http://plain"},
       }) {
    const absl::Status status = Of(row.environment).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(base::ToStd(status.message())), HasSubstr(row.told));
  }
}

}  // namespace
}  // namespace tao::platforms
