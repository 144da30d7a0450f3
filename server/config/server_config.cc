#include "server/config/server_config.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "server/base/closest_name.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/config/yaml_config.h"

namespace tao::config {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSeeHelp = "(tao-inference-server --help lists the flags)";
constexpr int kWeek = 7 * 24 * 3600;                // seconds
constexpr uint64_t kMostBytes = uint64_t{1} << 50;  // a sign that was typed by mistake is more

std::string Environment(const char* name) {
  const char* const value = getenv(name);
  return value == nullptr ? "" : value;
}

std::string ProgramFolder() {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  return error ? "." : self.parent_path().string();
}

// references/ installed beside the program's folder, or in the source tree the program was built
// in.
std::string DefaultReferences(const std::string& program_folder) {
  for (const char* relative : {"../share/tao-inference/references", "../../../references"}) {
    std::error_code error;
    const fs::path folder = fs::weakly_canonical(fs::path(program_folder) / relative, error);
    if (!error && fs::is_directory(folder, error)) return folder.string();
  }
  return "references";
}

// As CLI::Range, whose words for a fraction are "0.000000 to 3600.000000", and which takes "nan".
CLI::Validator SecondsUpTo(int most) {
  const std::string range = absl::StrFormat("FLOAT in [0 - %d]", most);
  return CLI::Validator(
      [most](const std::string& text) -> std::string {
        double seconds = 0;
        if (absl::SimpleAtod(text, &seconds) && seconds >= 0 && seconds <= most) return "";
        return absl::StrFormat("Value %s not in range 0 to %d", text, most);
      },
      range);
}

void AddFlags(CLI::App& app, ServerConfig& config) {
  app.set_help_flag("--help,-h", "Print this and exit");
  app.set_version_flag("--version", std::string("tao-inference-server ") + TAO_VERSION);
  app.set_config("--config", "", "YAML file with the same keys as these flags", false);
  app.allow_extras();  // UnknownFlag says more of them

  app.add_option("--grpc-listen", config.grpc_listen, "Where gRPC listens")->capture_default_str();
  app.add_option("--gateway-listen", config.gateway_listen,
                 "Where the OpenAI-compatible gateway listens")
      ->capture_default_str();
  app.add_option("--admin-listen", config.admin_listen,
                 "Where /metrics, /livez and /readyz are served for the operator; off: nowhere")
      ->capture_default_str();
  app.add_flag("--insecure", config.insecure,
               "Allow listening wider than loopback, unauthenticated");
  app.add_option("--gateway-workers", config.gateway_workers, "Gateway threads; 0: one a core")
      ->check(CLI::Range(0, 256))
      ->capture_default_str();
  app.add_option("--upstream-ca-file", config.upstream_ca_file,
                 "PEM file of CAs to trust, beside the system's, where services and platform APIs "
                 "are reached by https");
  app.add_option("--connect-timeout-seconds", config.connect_timeout_seconds,
                 "Until a connection to a container stands")
      ->check(SecondsUpTo(3600))
      ->capture_default_str();
  app.add_option("--first-byte-timeout-seconds", config.first_byte_timeout_seconds,
                 "From a request's last byte to the head of its answer")
      ->check(SecondsUpTo(kWeek))
      ->capture_default_str();
  app.add_option("--between-bytes-timeout-seconds", config.between_bytes_timeout_seconds,
                 "Longest silence within an answer")
      ->check(SecondsUpTo(kWeek))
      ->capture_default_str();
  app.add_option("--total-timeout-seconds", config.total_timeout_seconds,
                 "Of a whole exchange; 0: none")
      ->check(SecondsUpTo(kWeek))
      ->capture_default_str();
  app.add_option("--cold-start-wait-seconds", config.cold_start_wait_seconds,
                 "How long a request waits for its service to be READY, unless it says (Prefer: "
                 "wait=N)")
      ->check(SecondsUpTo(3600))
      ->capture_default_str();
  app.add_option("--max-cold-start-wait-seconds", config.max_cold_start_wait_seconds,
                 "The longest such wait, whatever a request says")
      ->check(SecondsUpTo(3600))
      ->capture_default_str();
  app.add_option("--max-held-requests", config.max_held_requests,
                 "How many requests wait so at the same time")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  app.add_option("--early-stream-seconds", config.early_stream_seconds,
                 "When a silent service's stream is begun for the client")
      ->check(SecondsUpTo(3600))
      ->capture_default_str();
  app.add_option("--heartbeat-seconds", config.heartbeat_seconds,
                 "How often a silent stream is sent a comment")
      ->check(SecondsUpTo(3600))
      ->capture_default_str();
  app.add_option("--max-connections", config.max_connections,
                 "Connections of clients to the gateway; 0: what the descriptor limit allows")
      ->check(CLI::Range(0, 10'000'000))
      ->capture_default_str();
  app.add_option("--max-connections-per-client", config.max_connections_per_client,
                 "Of one address; 0: three quarters of all")
      ->check(CLI::Range(0, 10'000'000))
      ->capture_default_str();
  app.add_option("--max-body-bytes", config.max_body_bytes, "Largest chat request over HTTP")
      ->check(CLI::Range(uint64_t{1}, kMostBytes))
      ->capture_default_str();
  app.add_option("--spool-dir", config.spool_dir,
                 "Folder, on a disk, for bodies that are kept while their model is looked for")
      ->capture_default_str();
  app.add_flag("--allow-tmpfs-spool", config.allow_tmpfs_spool, "Allow --spool-dir to be memory");
  app.add_option("--spool-max-bytes", config.spool_max_bytes, "Of all bodies kept there together")
      ->check(CLI::Range(uint64_t{0}, kMostBytes))
      ->capture_default_str();
  app.add_option("--max-grpc-message-bytes", config.max_grpc_message_bytes,
                 "Largest received message")
      ->check(CLI::Range(1 << 20, 2047 << 20))
      ->capture_default_str();
  app.add_flag("--strict", config.strict,
               "Refuse requests of which a container would ignore something");
  app.add_option("--registry", config.registry, "The registry file that other tools share")
      ->capture_default_str();
  app.add_option("--state-dir", config.state_dir,
                 "The daemon's own state (default ~/.local/state/tao-inference)");
  app.add_option("--references", config.references, "Folder of service.yaml and the archs");
  app.add_option("--default-platform", config.default_platform,
                 "Platform of a start that names none");
  app.add_option("--gpu-mode", config.gpu_mode, "GPU mode of a start that names none")
      ->check(CLI::IsMember({"auto", "device", "tegra", "none"}))
      ->capture_default_str();
  app.add_option("--local-process-path", config.local_process_path,
                 "Folders that come first in PATH of local-process services");
  app.add_option("--process-parent", config.process_parent, "Path of tao-process-parent");
  app.add_option("--docker-network", config.docker_network,
                 "Network of containers (default $DOCKER_NETWORK, else tao_default)");
  app.add_option("--reach", config.reach, "How containers are dialled")
      ->check(CLI::IsMember({"localhost", "network"}))
      ->capture_default_str();
  app.add_option("--drain-timeout-seconds", config.drain_timeout_seconds,
                 "How long exchanges in flight may go on, on SIGTERM and on Stop")
      ->check(SecondsUpTo(86400))
      ->capture_default_str();
  app.add_option("--drain-notice-seconds", config.drain_notice_seconds,
                 "How long requests are still taken on SIGTERM after /readyz has fallen")
      ->check(SecondsUpTo(3600))
      ->capture_default_str();
  app.add_flag("--stop-services-on-exit", config.stop_services_on_exit,
               "Stop every service on SIGTERM (demo); else they run on and are adopted");
  app.add_option("--log-level", config.log_level, "Lowest level that is logged")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  app.add_option("--log-format", config.log_format, "Log lines as text or JSON")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  app.add_option("--access-log", config.access_log,
                 "File for one JSON line for each exchange, or - for stderr; default: the log");
  app.add_option("--fault-point", config.fault_point, "Tests: die with SIGKILL at this step");
  app.add_flag("--list-fault-points", config.list_fault_points,
               "Tests: print what --fault-point accepts, each with the one platform that reaches "
               "it, and exit");
}

// The names that --config files may use: the flags', without those that make no sense there.
std::vector<std::string> KeysOf(const CLI::App& app) {
  std::vector<std::string> keys;
  for (const CLI::Option* const option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      if (name != "help" && name != "version" && name != "config") keys.push_back(name);
    }
  }
  return keys;
}

// What stands on the command line and is none of our flags. Never the value that was given to a
// flag: a misspelt one may hold anything, a secret too.
absl::Status UnknownFlag(const CLI::App& app) {
  const std::vector<std::string> left = app.remaining();
  const auto flag = std::find_if(left.begin(), left.end(),
                                 [](const std::string& word) { return word.starts_with('-'); });
  if (flag == left.end()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s is no flag; flags are written --name=value %s", base::Quoted(left.front()), kSeeHelp));
  }
  std::vector<std::string> known = {"--help", "--version", "--config"};
  for (const std::string& key : KeysOf(app)) known.push_back("--" + key);
  const std::string name = flag->substr(0, flag->find('='));
  return absl::InvalidArgumentError(absl::StrFormat("there is no flag %s%s %s", base::Quoted(name),
                                                    base::DidYouMean(name, known), kSeeHelp));
}

// Whether `host` can only mean this machine. A name such as 127.0.0.1.example.org is anybody's.
bool IsLoopback(const std::string& host) {
  in_addr address = {};
  if (host == "localhost" || host == "[::1]") return true;
  return inet_pton(AF_INET, host.c_str(), &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

absl::Status CheckListen(std::string_view flag, const std::string& listen, bool insecure) {
  const size_t colon = listen.rfind(':');
  const std::string host = listen.substr(0, colon);
  const std::string port = colon == std::string::npos ? "" : listen.substr(colon + 1);
  const bool is_number = !port.empty() && port.size() <= 5 &&
                         port.find_first_not_of("0123456789") == std::string::npos;
  const bool bare_ipv6 = host.find(':') != std::string::npos && !host.starts_with('[');
  if (host.empty() || bare_ipv6 || !is_number || std::stoi(port) > 65535) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s %s: expected HOST:PORT, for instance 127.0.0.1:8000 or [::1]:8000; port 0 takes a "
        "free one",
        flag, base::Quoted(listen)));
  }
  if (insecure || IsLoopback(host)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "%s %s would let other machines in without authentication; listen on 127.0.0.1 and put a "
      "proxy in front, or say --insecure",
      flag, base::Quoted(listen)));
}

// Helper programs and services have other working folders, so a path is made absolute here.
// A leading ~ is the home directory, as the shell would have made it outside of a file or after
// `=`.
void MakeAbsolute(std::string& path) {
  if (path == "~" || path.starts_with("~/")) {
    const std::string home = Environment("HOME");
    if (!home.empty()) path.replace(0, 1, home);
  }
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  if (!error) path = absolute.lexically_normal().string();
}

absl::Status FillDefaults(ServerConfig& config) {
  const std::string program_folder = ProgramFolder();
  if (config.state_dir.empty()) {
    const std::string home = Environment("HOME");
    if (home.empty()) {
      return absl::InvalidArgumentError(
          "HOME is not set; name the state directory: --state-dir FOLDER");
    }
    config.state_dir = home + "/.local/state/tao-inference";
  }
  if (config.references.empty()) config.references = DefaultReferences(program_folder);
  if (config.process_parent.empty()) config.process_parent = program_folder + "/tao-process-parent";
  if (config.docker_network.empty()) config.docker_network = Environment("DOCKER_NETWORK");
  if (config.docker_network.empty()) config.docker_network = "tao_default";
  for (std::string* const path : {&config.registry, &config.state_dir, &config.references,
                                  &config.process_parent, &config.spool_dir}) {
    MakeAbsolute(*path);
  }
  if (!config.upstream_ca_file.empty()) MakeAbsolute(config.upstream_ca_file);
  if (!config.access_log.empty() && config.access_log != "-") MakeAbsolute(config.access_log);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ParsedConfig> ParseServerConfig(int argc, const char* const* argv) {
  ParsedConfig parsed;
  CLI::App app("Starts inference services, and routes requests to them.", "tao-inference-server");
  try {
    AddFlags(app, parsed.config);
    app.config_formatter(std::make_shared<YamlConfig>(KeysOf(app)));
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return ParsedConfig{.exit_now = true, .text = app.help()};
  } catch (const CLI::CallForVersion& version) {
    return ParsedConfig{.exit_now = true, .text = std::string(version.what()) + "\n"};
  } catch (const CLI::Error& error) {
    return absl::InvalidArgumentError(absl::StrFormat("%s %s", error.what(), kSeeHelp));
  }
  if (app.remaining_size() > 0) return UnknownFlag(app);
  const ServerConfig& config = parsed.config;
  RETURN_IF_ERROR(CheckListen("--grpc-listen", config.grpc_listen, config.insecure));
  RETURN_IF_ERROR(CheckListen("--gateway-listen", config.gateway_listen, config.insecure));
  if (config.admin_listen == "off") parsed.config.admin_listen.clear();
  if (!config.admin_listen.empty()) {
    RETURN_IF_ERROR(CheckListen("--admin-listen", config.admin_listen, config.insecure));
  }
  RETURN_IF_ERROR(FillDefaults(parsed.config));
  return parsed;
}

}  // namespace tao::config
