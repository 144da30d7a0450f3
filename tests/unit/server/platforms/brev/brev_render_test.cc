#include "server/platforms/brev/brev_render.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "server/base/strings.h"
#include "server/io/subprocess.h"

namespace tao::platforms {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const std::set<std::string> kFlags = {"--type", "--timeout", "--detached"};

TEST(RenderCreateTest, UsesTheFlagsThatThisBrevHas) {
  EXPECT_THAT(*RenderCreate({.name = "tao-x", .types = "t4,l40s"}, kFlags),
              ElementsAre("create", "tao-x", "--type", "t4,l40s", "--detached"));
  EXPECT_THAT(*RenderCreate(
                  {.name = "tao-x", .types = "t4", .workspace_group = "g", .cloud_credential = "c"},
                  {"--type", "--workspace-group-id", "--cloud-cred-id"}),
              ElementsAre("create", "tao-x", "--type", "t4", "--workspace-group-id", "g",
                          "--cloud-cred-id", "c"));
}

TEST(RenderCreateTest, AFlagThatItLacksIsSaidBeforeAnythingIsMade) {
  for (const BrevCreate& create :
       {BrevCreate{.name = "x", .types = "t4", .workspace_group = "g"},
        BrevCreate{.name = "x", .types = "t4", .cloud_credential = "c"}}) {
    const absl::Status status = RenderCreate(create, kFlags).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(base::ToStd(status.message())), HasSubstr("brev create --help"));
  }
  EXPECT_FALSE(RenderCreate({.name = "x", .types = "t4"}, {"--gpu"}).ok());
}

TEST(InstanceTargetTest, TakesBackWhatBrevsConfigurationLends) {
  const std::vector<std::string> argv =
      io::SshArgv(InstanceTarget("gpu-box", "/home/me/.brev/ssh_config"), {});
  const std::string line = testing::PrintToString(argv);
  for (const char* wanted :
       {"ControlMaster=no", "ControlPath=none", "ForwardAgent=no", "LogLevel=ERROR",
        "BatchMode=yes", "\"-T\"", "/home/me/.brev/ssh_config"}) {
    EXPECT_THAT(line, HasSubstr(wanted));
  }
  EXPECT_EQ(argv.back(), "gpu-box");
}

TEST(RenderPreambleTest, IsALineForEachAndAnEmptyOne) {
  const auto lines =
      RenderPreamble({{"A_KEY", base::Secret("a b=c\\ '\"$x")}, {"B", base::Secret("")}});
  ASSERT_TRUE(lines.ok());
  EXPECT_EQ(*lines, "A_KEY=a b=c\\ '\"$x\nB=\n\n");
  EXPECT_EQ(*RenderPreamble({}), "\n");
  const absl::Status two = RenderPreamble({{"A_KEY", base::Secret("first-line\nsecond")}}).status();
  EXPECT_EQ(two.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(base::ToStd(two.message())), Not(HasSubstr("first-line")));
}

// The commands run in a real shell, with a docker that writes down what it is given.
class CommandTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "brev-render-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    std::ofstream(folder_ + "/docker")
        << "#!/bin/sh\necho \"$*\" >> " << folder_ << "/argv\n"
        << "case \"$*\" in *login*) cat > " << folder_ << "/key; echo 'WARNING: stored' >&2;; "
        << "*run*) cat > " << folder_ << "/stdin; printf %s \"$A_KEY\" > " << folder_ << "/a_key;; "
        << "esac\ncase \"$*\" in *"
        << "${FAIL:-nothing}"
        << "*) echo refused >&2; exit 3;; esac\n";
    std::filesystem::permissions(folder_ + "/docker", std::filesystem::perms::owner_all);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  io::SubprocessResult Run(const std::string& command, const std::string& stdin_text,
                           const std::string& fail = "nothing") const {
    io::SubprocessOptions options;
    options.argv = {"/bin/sh", "-c", "( " + command + "\n)"};
    options.inherit_env = false;
    options.env = {{"PATH", folder_ + ":/usr/bin:/bin"}, {"HOME", folder_}, {"FAIL", fail}};
    options.stdin_text = stdin_text;
    auto result = io::RunSubprocess(options);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : io::SubprocessResult();
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(folder_ + "/" + name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::vector<std::string> LoginFolders() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      if (entry.path().filename().string().starts_with(".tao")) found.push_back(entry.path());
    }
    return found;
  }

  std::string folder_;
};

TEST_F(CommandTest, SecretsReachTheContainerByEnvironmentAlone) {
  const std::string value = "tricky 'quotes' \"and\" $dollars \\ back=slashes ";
  const auto preamble = RenderPreamble({{"A_KEY", base::Secret(value)}});
  ASSERT_TRUE(preamble.ok());
  const auto result =
      Run(RunCommand({"run", "-e", "A_KEY", "an image", "-c", "x && y"}), *preamble);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(Read("a_key"), value);
  EXPECT_EQ(Read("argv"), "run -e A_KEY an image -c x && y\n");
  EXPECT_EQ(Read("stdin"), "");
}

TEST_F(CommandTest, APullWithALoginLeavesNoKeyBehind) {
  const auto result = Run(PullCommand("nvcr.io/x:1", true, "job-1"), "nvapi-key-0123456789\n");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(Read("key"), "nvapi-key-0123456789\n");
  const std::string argv = Read("argv");
  EXPECT_THAT(argv, HasSubstr("login nvcr.io -u $oauthtoken --password-stdin"));
  EXPECT_THAT(argv, HasSubstr("pull nvcr.io/x:1\n"));
  EXPECT_THAT(argv, HasSubstr("logout nvcr.io"));
  EXPECT_THAT(argv, Not(HasSubstr("nvapi")));
  EXPECT_THAT(LoginFolders(), ElementsAre());
  EXPECT_THAT(result.err, Not(HasSubstr("WARNING")));
}

TEST_F(CommandTest, AKeyThatIsRefusedPullsNothingAndSaysWhy) {
  const auto result = Run(PullCommand("nvcr.io/x:1", true, "job-1"), "k\n", "login");
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("refused"));
  EXPECT_THAT(Read("argv"), Not(HasSubstr("pull")));
  EXPECT_THAT(LoginFolders(), ElementsAre());
}

TEST_F(CommandTest, APullThatFailsHasItsOwnExitCode) {
  const auto result = Run(PullCommand("nvcr.io/x:1", true, "job-1"), "k\n", "pull");
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(LoginFolders(), ElementsAre());
}

TEST_F(CommandTest, WithoutALoginTheInstancesOwnIsUsed) {
  EXPECT_EQ(Run(PullCommand("example/x:1", false, "job-1"), "").exit_code, 0);
  EXPECT_EQ(Read("argv"), "pull example/x:1\n");
}

TEST_F(CommandTest, LogoutRemovesWhatACutOffPullHasLeft) {
  std::filesystem::create_directories(folder_ + "/.tao-inference-job-1");
  std::ofstream(folder_ + "/.tao-inference-job-1/config.json") << "key";
  std::filesystem::create_directories(folder_ + "/.tao-inference-job-2");
  EXPECT_EQ(Run(LogoutCommand("job-1"), "").exit_code, 0);
  EXPECT_THAT(LoginFolders(), ElementsAre(folder_ + "/.tao-inference-job-2"));
  EXPECT_EQ(Run(LogoutCommand("job-1"), "").exit_code, 0);
}

}  // namespace
}  // namespace tao::platforms
