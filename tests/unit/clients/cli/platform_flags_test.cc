#include "clients/cli/platform_flags.h"

#include <gmock/gmock.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace tao::cli {
namespace {

using ::testing::Pair;
using ::testing::UnorderedElementsAre;

// `start` with its flags about the platform, and one of its others.
class PlatformFlagsTest : public testing::Test {
 protected:
  PlatformFlagsTest() {
    app_.allow_extras();
    app_.fallthrough();
    start_ = app_.add_subcommand("start");
    AddPlatformFlags(*start_, flags_);
    start_->add_flag("--detach", detach_);
  }

  bool Parse(const std::string& words) {
    app_.parse("start " + words);
    return FillPlatform(flags_, request_);
  }
  // What is said when the daemon finds fault with these fields.
  std::string Refused(const std::vector<std::string>& fields) {
    google::rpc::BadRequest bad;
    for (const std::string& field : fields) bad.add_field_violations()->set_field(field);
    google::rpc::Status details;
    details.add_details()->PackFrom(bad);
    return MisspeltFlags(
        flags_, {grpc::StatusCode::INVALID_ARGUMENT, "refused", details.SerializeAsString()});
  }

  CLI::App app_;
  CLI::App* start_ = nullptr;
  PlatformFlags flags_;
  bool detach_ = false;
  pb::StartRequest request_;
};

// Each is near a flag of ours, and an option of slurm, lepton, kubernetes or brev all the same.
TEST_F(PlatformFlagsTest, OptionsOfPlatformsPassHoweverNearAFlagTheyAre) {
  ASSERT_TRUE(
      Parse("--platform slurm --account me --gpu-type h100 --mount-from=node-local "
            "--request-timeout 5s --exclusive"));
  EXPECT_EQ(request_.platform(), "slurm");
  EXPECT_THAT(request_.platform_options(),
              UnorderedElementsAre(Pair("account", "me"), Pair("gpu-type", "h100"),
                                   Pair("mount-from", "node-local"), Pair("request-timeout", "5s"),
                                   Pair("exclusive", "true")));
  EXPECT_EQ(Refused({"model_path"}), "") << "what the platform takes is no misspelt flag";
}

TEST_F(PlatformFlagsTest, AFlagThatThePlatformDoesNotTakeMayBeAMisspeltOne) {
  ASSERT_TRUE(Parse("--platform slurm --account me --detatch --gpu-cuont=2 --partition x"));
  EXPECT_EQ(Refused({"platform_options.detatch", "platform_options.gpu-cuont",
                     "platform_options.partition"}),
            "tao-inference: there is no flag --detatch; did you mean --detach?\n"
            "tao-inference: there is no flag --gpu-cuont; did you mean --gpu-count?\n");
}

TEST_F(PlatformFlagsTest, AMisspeltPlatformLeavesNobodyToTakeIt) {
  ASSERT_TRUE(Parse("--platfrom slurm"));
  EXPECT_EQ(Refused({"platform"}),
            "tao-inference: there is no flag --platfrom; did you mean --platform?\n");
  EXPECT_EQ(MisspeltFlags(flags_, {grpc::StatusCode::UNAVAILABLE, "nobody is there"}), "");
}

TEST_F(PlatformFlagsTest, AWordAloneOrAnOptionTwiceIsRefusedHere) {
  EXPECT_FALSE(Parse("-x"));
  EXPECT_FALSE(Parse("--account me --platform-option account=you"));
}

}  // namespace
}  // namespace tao::cli
