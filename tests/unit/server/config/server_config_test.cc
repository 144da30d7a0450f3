#include "server/config/server_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace tao::config {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

absl::StatusOr<ParsedConfig> Parse(const std::vector<std::string>& flags) {
  std::vector<const char*> argv = {"tao-inference-server"};
  for (const std::string& flag : flags) argv.push_back(flag.c_str());
  return ParseServerConfig(static_cast<int>(argv.size()), argv.data());
}

std::string ErrorOf(const std::vector<std::string>& flags) {
  const absl::StatusOr<ParsedConfig> parsed = Parse(flags);
  if (parsed.ok()) return "(no error)";
  EXPECT_TRUE(absl::IsInvalidArgument(parsed.status()));
  return std::string(parsed.status().message());
}

// A --config file, gone after the test.
class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text) {
    char name[] = "/tmp/tao_config_test_XXXXXX";
    const int fd = mkstemp(name);
    EXPECT_GE(fd, 0);
    close(fd);
    path_ = name;
    std::ofstream(path_) << text;
  }
  ~ConfigFile() { fs::remove(path_); }
  std::string flag() const { return "--config=" + path_; }

 private:
  std::string path_;
};

// An environment variable as a test wants it, restored after.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    const char* const before = getenv(name);
    had_ = before != nullptr;
    if (had_) before_ = before;
    value == nullptr ? unsetenv(name) : setenv(name, value, 1);
  }
  ~Variable() { had_ ? setenv(name_, before_.c_str(), 1) : unsetenv(name_); }

 private:
  const char* const name_;
  bool had_ = false;
  std::string before_;
};

// Without flags everything has the value that docs/operations.md names.
TEST(ServerConfig, Defaults) {
  const Variable home("HOME", "/home/user");
  const Variable network("DOCKER_NETWORK", nullptr);
  const absl::StatusOr<ParsedConfig> parsed = Parse({});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_FALSE(parsed->exit_now);
  const ServerConfig& config = parsed->config;
  EXPECT_EQ(config.grpc_listen, "127.0.0.1:50051");
  EXPECT_EQ(config.gateway_listen, "127.0.0.1:8000");
  EXPECT_EQ(config.admin_listen, "127.0.0.1:9464");
  EXPECT_FALSE(config.insecure);
  EXPECT_EQ(config.gateway_workers, 0);
  EXPECT_EQ(config.max_body_bytes, 2147483648U);
  EXPECT_EQ(config.spool_dir, "/var/tmp");
  EXPECT_EQ(config.max_grpc_message_bytes, 268435456);
  EXPECT_FALSE(config.strict);
  EXPECT_EQ(config.registry, "/tmp/tao-inf-ms-state.json");
  EXPECT_EQ(config.state_dir, "/home/user/.local/state/tao-inference");
  EXPECT_EQ(config.default_platform, "");
  EXPECT_EQ(config.gpu_mode, "auto");
  EXPECT_EQ(config.docker_network, "tao_default");
  EXPECT_EQ(config.reach, "localhost");
  EXPECT_EQ(config.drain_timeout_seconds, 30);
  EXPECT_EQ(config.drain_notice_seconds, 0);
  EXPECT_FALSE(config.stop_services_on_exit);
  EXPECT_EQ(config.log_level, "info");
  EXPECT_EQ(config.log_format, "text");
  EXPECT_EQ(config.fault_point, "");
  const fs::path folder = fs::read_symlink("/proc/self/exe").parent_path();
  EXPECT_EQ(config.process_parent, (folder / "tao-process-parent").string());
  EXPECT_TRUE(fs::path(config.references).is_absolute());
}

TEST(ServerConfig, DockerNetworkComesFromTheFlagThenTheEnvironment) {
  const Variable network("DOCKER_NETWORK", "from_environment");
  EXPECT_EQ(Parse({})->config.docker_network, "from_environment");
  EXPECT_EQ(Parse({"--docker-network=from_flag"})->config.docker_network, "from_flag");
}

TEST(ServerConfig, NeedsAHomeOrAStateDirectory) {
  const Variable home("HOME", nullptr);
  EXPECT_THAT(ErrorOf({}), HasSubstr("HOME is not set; name the state directory: --state-dir"));
  EXPECT_EQ(Parse({"--state-dir=/var/lib/tao"})->config.state_dir, "/var/lib/tao");
}

// Helper programs and services have other working folders.
TEST(ServerConfig, RelativePathsAreOfTheWorkingFolder) {
  const absl::StatusOr<ParsedConfig> parsed =
      Parse({"--state-dir=state", "--registry=./r/../registry.json", "--references=references",
             "--process-parent=bin/tao-process-parent"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const std::string here = fs::current_path().string();
  EXPECT_EQ(parsed->config.state_dir, here + "/state");
  EXPECT_EQ(parsed->config.registry, here + "/registry.json");
  EXPECT_EQ(parsed->config.references, here + "/references");
  EXPECT_EQ(parsed->config.process_parent, here + "/bin/tao-process-parent");
}

TEST(ServerConfig, FileHasTheFlagsAsKeys) {
  const ConfigFile file(
      "# of this host\n"
      "grpc_listen: 127.0.0.1:1\n"
      "gateway-listen: '[::1]:2'\n"
      "gateway_workers: 3\n"
      "max_body_bytes: 4000\n"
      "drain_timeout_seconds: 1.5\n"
      "stop_services_on_exit: true\n"
      "strict: true\n"
      "state_dir: /var/lib/tao\n"
      "log_format: json\n");
  const absl::StatusOr<ParsedConfig> parsed = Parse({file.flag()});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const ServerConfig& config = parsed->config;
  EXPECT_EQ(config.grpc_listen, "127.0.0.1:1");
  EXPECT_EQ(config.gateway_listen, "[::1]:2");
  EXPECT_EQ(config.gateway_workers, 3);
  EXPECT_EQ(config.max_body_bytes, 4000U);
  EXPECT_EQ(config.drain_timeout_seconds, 1.5);
  EXPECT_TRUE(config.stop_services_on_exit);
  EXPECT_TRUE(config.strict);
  EXPECT_EQ(config.state_dir, "/var/lib/tao");
  EXPECT_EQ(config.log_format, "json");
}

TEST(ServerConfig, FlagWinsOverTheFileWhereverItStands) {
  const ConfigFile file("gpu_mode: none\nlog_level: error\n");
  for (const std::vector<std::string>& flags :
       {std::vector<std::string>{"--gpu-mode=device", file.flag()},
        {file.flag(), "--gpu-mode=device"}}) {
    const absl::StatusOr<ParsedConfig> parsed = Parse(flags);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->config.gpu_mode, "device");
    EXPECT_EQ(parsed->config.log_level, "error");
  }
}

TEST(ServerConfig, EmptyFileChangesNothing) {
  const ConfigFile file("# nothing yet\n");
  EXPECT_EQ(Parse({file.flag()})->config.log_level, "info");
}

TEST(ServerConfig, HelpAndVersionAreText) {
  EXPECT_TRUE(Parse({"--help"})->exit_now);
  EXPECT_THAT(Parse({"--help"})->text, HasSubstr("--gateway-listen"));
  EXPECT_EQ(Parse({"--version"})->text.find("tao-inference-server "), 0U);
}

// A misspelt flag may hold a secret: its name is shown, its value never.
TEST(ServerConfig, ValuesOfUnknownNamesAreNotShown) {
  const std::string secret = "hf_abcdefgh12345678";
  const ConfigFile file("hf_token: " + secret + "\n");
  EXPECT_THAT(ErrorOf({"--hf-token=" + secret}),
              AllOf(HasSubstr("--hf-token"), Not(HasSubstr(secret))));
  EXPECT_THAT(ErrorOf({"--hf-token", secret}),
              AllOf(HasSubstr("--hf-token"), Not(HasSubstr(secret))));
  EXPECT_THAT(ErrorOf({file.flag()}), AllOf(HasSubstr("hf_token"), Not(HasSubstr(secret))));
}

struct BadFlag {
  std::string name;
  std::vector<std::string> flags;
  std::string says;
};

class BadFlagTest : public testing::TestWithParam<BadFlag> {};

TEST_P(BadFlagTest, SaysWhatToWriteInstead) {
  EXPECT_THAT(ErrorOf(GetParam().flags), HasSubstr(GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(
    Flags, BadFlagTest,
    testing::ValuesIn<BadFlag>({
        {"Misspelt",
         {"--sate-dir=/x"},
         R"(there is no flag "--sate-dir"; did you mean "--state-dir"?)"},
        {"MisspeltWithUnderscore", {"--gpu_mod=none"}, R"(did you mean "--gpu-mode"?)"},
        {"LikeNothing",
         {"--frobnicate"},
         R"(there is no flag "--frobnicate" (tao-inference-server)"},
        {"Positional", {"start"}, R"("start" is no flag; flags are written --name=value)"},
        {"NoValue", {"--registry"}, "--registry"},
        {"Twice", {"--reach=localhost", "--reach=network"}, "--reach"},
        {"NoFile", {"--config=/nonexistent/a.yaml"}, "/nonexistent/a.yaml"},
        {"WorkersNoNumber",
         {"--gateway-workers=many"},
         "--gateway-workers: Value many not in range 0 to 256"},
        {"WorkersTooMany",
         {"--gateway-workers=257"},
         "--gateway-workers: Value 257 not in range 0 to 256"},
        {"BodyBytesNegative",
         {"--max-body-bytes=-1"},
         "--max-body-bytes: Value -1 not in range 1 to"},
        {"BodyBytesWithUnit", {"--max-body-bytes=2G"}, "--max-body-bytes: Value 2G not in range"},
        {"SpoolBytesNegative",
         {"--spool-max-bytes=-1"},
         "--spool-max-bytes: Value -1 not in range 0 to"},
        {"MessageTooSmall",
         {"--max-grpc-message-bytes=1"},
         "--max-grpc-message-bytes: Value 1 not in range"},
        {"DrainNegative",
         {"--drain-timeout-seconds=-3"},
         "--drain-timeout-seconds: Value -3 not in range 0 to 86400"},
        {"NoticeNoNumber", {"--drain-notice-seconds=nan"}, "Value nan not in range 0 to 3600"},
        {"NoticeTooLong", {"--drain-notice-seconds=3601"}, "Value 3601 not in range 0 to 3600"},
        {"GpuMode", {"--gpu-mode=all"}, "--gpu-mode: all not in {auto,device,tegra,none}"},
        {"Reach", {"--reach=bridge"}, "--reach: bridge not in {localhost,network}"},
        {"LogLevel", {"--log-level=trace"}, "--log-level: trace not in {debug,info,warning,error}"},
        {"LogFormat", {"--log-format=xml"}, "--log-format: xml not in {text,json}"},
        {"ListenNoPort",
         {"--grpc-listen=127.0.0.1"},
         "--grpc-listen \"127.0.0.1\": expected HOST:PORT"},
        {"ListenNoHost",
         {"--gateway-listen=:8000"},
         "--gateway-listen \":8000\": expected HOST:PORT"},
        {"ListenPortTooHigh", {"--gateway-listen=127.0.0.1:65536"}, "expected HOST:PORT"},
        {"ListenBareIpv6", {"--gateway-listen=::1:8000"}, "expected HOST:PORT"},
        {"ListenWide",
         {"--grpc-listen=0.0.0.0:50051"},
         "without authentication; listen on 127.0.0.1"},
        {"ListenWideIpv6", {"--gateway-listen=[::]:8000"}, "say --insecure"},
        {"ListenWideAdmin", {"--admin-listen=0.0.0.0:9464"}, "--admin-listen \"0.0.0.0:9464\""},
        {"ListenNameThatLooksLocal",
         {"--grpc-listen=127.0.0.1.example.org:50051"},
         "say --insecure"},
    }),
    [](const auto& test) { return test.param.name; });

TEST(ServerConfig, NoAdminListenerWhereNoneIsWanted) {
  EXPECT_EQ(Parse({"--admin-listen=off"})->config.admin_listen, "");
  const ConfigFile file("admin_listen: off\naccess_log: '-'\n");
  ASSERT_TRUE(Parse({file.flag()}).ok()) << Parse({file.flag()}).status();
  EXPECT_EQ(Parse({file.flag()})->config.admin_listen, "");
  EXPECT_EQ(Parse({file.flag()})->config.access_log, "-");
}

TEST(ServerConfig, InsecureListensWide) {
  EXPECT_EQ(Parse({"--insecure", "--grpc-listen=0.0.0.0:50051"})->config.grpc_listen,
            "0.0.0.0:50051");
  const ConfigFile file("insecure: true\ngateway_listen: 0.0.0.0:8000\n");
  EXPECT_EQ(Parse({file.flag()})->config.gateway_listen, "0.0.0.0:8000");
}

TEST(ServerConfig, EveryLoopbackAddressIsAllowed) {
  for (const char* listen : {"127.0.0.1:0", "127.1.2.3:8000", "localhost:8000", "[::1]:8000"}) {
    EXPECT_TRUE(Parse({std::string("--gateway-listen=") + listen}).ok()) << listen;
  }
}

struct BadFile {
  std::string name;
  std::string text;
  std::string says;
};

class BadFileTest : public testing::TestWithParam<BadFile> {};

TEST_P(BadFileTest, SaysWhereAndWhat) {
  const ConfigFile file(GetParam().text);
  EXPECT_THAT(ErrorOf({file.flag()}), HasSubstr(GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(
    Files, BadFileTest,
    testing::ValuesIn<BadFile>({
        {"Misspelt", "log_level: info\nsate_dir: /x\n",
         R"(configuration file, line 2: there is no key "sate_dir"; did you mean "state-dir"?)"},
        {"LikeNothing", "frobnicate: 1\n", R"(line 1: there is no key "frobnicate")"},
        {"FlagThatIsNoKey", "config: other.yaml\n", R"(there is no key "config")"},
        {"List", "reach: [localhost]\n", R"(line 1: "reach" needs one value)"},
        {"Nothing", "\nreach:\n", R"(line 2: "reach" needs one value)"},
        {"Twice", "reach: localhost\nreach: network\n", R"(line 2: "reach" stands there twice)"},
        {"TwiceInBothSpellings", "log_level: info\nlog-level: debug\n",
         "line 2: \"log-level\" stands there"},
        {"NoMapping", "- reach\n", "line 1: expected `key: value` lines"},
        {"NoYaml", "log_level: info\nreach: a: b\n", "configuration file, line 2: "},
        {"BadValue", "gateway_workers: many\n",
         "--gateway-workers: Value many not in range 0 to 256"},
        {"BadSwitch", "insecure: maybe\n", "maybe"},
        {"ListenWide", "grpc_listen: 0.0.0.0:1\n", "say --insecure"},
    }),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace tao::config
