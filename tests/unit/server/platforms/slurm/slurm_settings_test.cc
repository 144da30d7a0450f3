#include "server/platforms/slurm/slurm_settings.h"

#include <gmock/gmock.h>

#include "server/base/errors.h"
#include "server/base/strings.h"

namespace tao::platforms {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Environment = std::map<std::string, std::string>;

catalog::EnvironmentLookup LookupIn(Environment environment) {
  return [environment = std::move(environment)](const std::string& name) {
    const auto found = environment.find(name);
    return found == environment.end() ? std::nullopt : std::optional<std::string>(found->second);
  };
}

std::string Message(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

TEST(ReadLoginTest, HostsAreAListInItsOrder) {
  const auto login = ReadLogin(LookupIn({{"SLURM_USER", " me "},
                                         {"SLURM_HOSTNAME", "login1, login2 ,"},
                                         {"SSH_KEY_PATH", "/k"},
                                         {"SLURM_SSH_CONFIG", "/c"}}));
  ASSERT_TRUE(login.ok()) << login.status();
  EXPECT_EQ(login->user, "me");
  EXPECT_THAT(login->hosts, ElementsAre("login1", "login2"));
  EXPECT_EQ(login->key_file, "/k");
  EXPECT_EQ(login->ssh_config, "/c");
}

TEST(ReadLoginTest, EverythingThatIsMissingIsNamedAtOnce) {
  const auto login = ReadLogin(LookupIn({{"SLURM_HOSTNAME", " , "}}));
  EXPECT_EQ(login.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(login.status()), HasSubstr("SLURM_USER"));
  EXPECT_THAT(Message(login.status()), HasSubstr("SLURM_HOSTNAME"));
}

TEST(ReadSettingsTest, OnlyAPartitionIsNeeded) {
  const auto settings = ReadSettings({{"partition", "gpu"}}, LookupIn({}));
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->partition, "gpu");
  EXPECT_EQ(settings->account, "");
  EXPECT_EQ(settings->time, absl::Hours(4));
  EXPECT_EQ(settings->cpus, 16);
  EXPECT_EQ(settings->exclusive, std::nullopt);
  EXPECT_TRUE(settings->container_writable);
}

TEST(ReadSettingsTest, WithoutAPartitionBothWaysToGiveOneAreNamed) {
  const absl::Status status = ReadSettings({}, LookupIn({})).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status), HasSubstr("--partition"));
  EXPECT_THAT(Message(status), HasSubstr("SLURM_PARTITION"));
}

TEST(ReadSettingsTest, AnOptionWinsOverTheEnvironment) {
  const Environment environment = {{"SLURM_PARTITION", "slow"},
                                   {"SLURM_ACCOUNT", "ours"},
                                   {"SLURM_TIME_HOURS", "12"},
                                   {"SLURM_BASE_RESULTS_DIR", "/lustre/me"},
                                   {"SLURM_CONTAINER_MOUNTS", "/lustre:/lustre,/a:/b:ro"}};
  const auto settings =
      ReadSettings({{"partition", "fast,slow"}, {"time", "0.5"}}, LookupIn(environment));
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->partition, "fast,slow");
  EXPECT_EQ(settings->account, "ours");
  EXPECT_EQ(settings->time, absl::Minutes(30));
  EXPECT_EQ(settings->output_dir, "/lustre/me");
  EXPECT_THAT(MountSources(settings->container_mounts), ElementsAre("/lustre", "/a"));
}

TEST(ReadSettingsTest, AWrongVariableIsNamedWithTheOptionThatReplacesIt) {
  const absl::Status status =
      ReadSettings({{"partition", "p"}}, LookupIn({{"SLURM_TIME_HOURS", "4h"}})).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status), HasSubstr("SLURM_TIME_HOURS"));
  EXPECT_THAT(Message(status), HasSubstr("--platform-option time="));
}

struct OptionCase {
  const char* name;
  const char* value;
  bool good;
};

class SlurmOptionTest : public testing::TestWithParam<OptionCase> {};

TEST_P(SlurmOptionTest, IsReadOrRefusedByItsName) {
  const OptionCase& row = GetParam();
  const absl::Status status = CheckSlurmOptions({{row.name, row.value}});
  if (row.good) {
    EXPECT_TRUE(status.ok()) << status;
    return;
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << row.value;
  const auto violations = base::DetailsOf(status).violations;
  ASSERT_EQ(violations.size(), 1U);
  EXPECT_EQ(violations[0].field, std::string("platform_options.") + row.name);
}

// What is refused would be read as something else by #SBATCH, srun or a shell.
INSTANTIATE_TEST_SUITE_P(Values, SlurmOptionTest,
                         testing::ValuesIn<OptionCase>({
                             {"partition", "gpu", true},
                             {"partition", "a,b-1", true},
                             {"partition", "", false},
                             {"partition", "a b", false},
                             {"partition", "a#b", false},
                             {"partition", "$(id)", false},
                             {"partition", "-p", false},
                             {"account", "team_1@x", true},
                             {"account", "a\nb", false},
                             {"qos", "high", true},
                             {"qos", "a;b", false},
                             {"time", "4", true},
                             {"time", "0.25", true},
                             {"time", "0", false},
                             {"time", "-1", false},
                             {"time", "nan", false},
                             {"time", "04:00:00", false},
                             {"gpu-type", "a100", true},
                             {"gpu-type", "gpu:a100", false},
                             {"cpus", "1", true},
                             {"cpus", "0", false},
                             {"cpus", "4.5", false},
                             {"mem", "64G", true},
                             {"mem", "64000", true},
                             {"mem", "64GB", false},
                             {"mem", "G", false},
                             {"mem", "", false},
                             {"exclusive", "auto", true},
                             {"exclusive", "yes", true},
                             {"exclusive", "true", true},  // the flag without a value
                             {"exclusive", "maybe", false},
                             {"container-image", "/images/tao.sqsh", true},
                             {"container-image", "nvcr.io#nvidia/tao:1", true},
                             {"container-image", "a b", false},
                             {"container-writable", "no", true},
                             {"container-writable", "maybe", false},
                             {"container-mounts", "/a:/b", true},
                             {"container-mounts", "/a:/b:ro,/c:/d", true},
                             {"container-mounts", "/a", false},
                             {"container-mounts", "a:/b", false},
                             {"container-mounts", "/a:/b:ro:x", false},
                             {"container-mounts", "/a b:/c", false},
                             {"output-dir", "/lustre/me/logs", true},
                             {"output-dir", "logs", false},
                             {"output-dir", "/a/%j", false},
                             {"output-dir", "/a'b", false},
                         }));

TEST(SlurmOptionsTest, EachIsReadUnderItsOwnName) {
  for (const PlatformOption& option : SlurmOptions()) {
    EXPECT_FALSE(CheckSlurmOptions({{std::string(option.name), "\x01"}}).ok()) << option.name;
    EXPECT_FALSE(option.help.empty());
  }
}

}  // namespace
}  // namespace tao::platforms
