#pragma once

// The operator's configuration: command-line flags, and the same keys in a YAML file by --config (a
// flag wins over the file; an unknown key is an error).

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <cstdint>
#include <string>

namespace tao::config {

struct ServerConfig {
  // Where the faces listen, HOST:PORT; port 0 takes a free one. Wider than loopback is refused
  // without `insecure`: there is no authentication yet.
  std::string grpc_listen = "127.0.0.1:50051";
  std::string gateway_listen = "127.0.0.1:8000";
  // /metrics, /livez and /readyz for the operator, likewise; empty ("off"): nowhere.
  std::string admin_listen = "127.0.0.1:9464";
  bool insecure = false;

  std::string
      upstream_ca_file;     // PEM; CAs of https services and platform APIs, beside the system's
  int gateway_workers = 0;  // 0: one for each hardware thread
  // Of exchanges, where the arch has no row of its own (request.yaml); total 0: none.
  double connect_timeout_seconds = 5;
  double first_byte_timeout_seconds = 1800;
  double between_bytes_timeout_seconds = 300;
  double total_timeout_seconds = 0;
  // Requests whose service is not READY: how long each waits unless it says so itself, the longest
  // wait of any, and how many may wait.
  double cold_start_wait_seconds = 0;
  double max_cold_start_wait_seconds = 290;
  int max_held_requests = 1024;
  // Streams: when the client is given the head of one whose backend is silent, and how often a sign
  // of life.
  double early_stream_seconds = 20;
  double heartbeat_seconds = 15;
  // Clients' connections, in all and of one address; 0: by the descriptor limit, three quarters.
  int max_connections = 0;
  int max_connections_per_client = 0;
  uint64_t max_body_bytes = uint64_t{2} << 30;  // of a chat request over HTTP
  // Bodies above 1 MiB whose service is not known before their `model` are kept in files here.
  std::string spool_dir = "/var/tmp";
  bool allow_tmpfs_spool = false;
  uint64_t spool_max_bytes = uint64_t{64} << 30;  // of all of them together
  int max_grpc_message_bytes = 256 << 20;         // received
  bool strict = false;  // what a container would ignore of a request is refused

  std::string registry = "/tmp/tao-inf-ms-state.json";  // the file that other tools share
  std::string state_dir;                                // default: ~/.local/state/tao-inference
  std::string references;  // folder; default: found beside the program, see DefaultReferences

  std::string default_platform;    // of a StartRequest that names none; empty: required there
  std::string gpu_mode = "auto";   // of a StartRequest that names none: auto, device, tegra or none
  std::string local_process_path;  // folders that come first in PATH of local-process services
  std::string process_parent;      // path of tao-process-parent; default: beside the server
  std::string docker_network;      // default: $DOCKER_NETWORK, else tao_default
  std::string reach =
      "localhost";  // how containers are dialled: localhost, or network (docker_url)

  double drain_timeout_seconds = 30;  // of exchanges in flight, on SIGTERM and on Stop
  // On SIGTERM: how long requests are still taken after /readyz has fallen, so that a load balancer
  // sees it fall before connections are refused.
  double drain_notice_seconds = 0;
  bool stop_services_on_exit = false;

  std::string log_level = "info";   // debug, info, warning or error
  std::string log_format = "text";  // text or json
  std::string access_log;          // a file, or - for stderr; empty: exchanges are lines of the log
  std::string fault_point;         // tests: die with SIGKILL there
  bool list_fault_points = false;  // tests: print what fault_point accepts, and exit
};

// What `argv` asks for. `exit_now` is set for --help and --version, with what to print.
struct ParsedConfig {
  ServerConfig config;
  bool exit_now = false;
  std::string text;
};

// InvalidArgument: a flag or key is unknown or wrong, with what to write instead.
absl::StatusOr<ParsedConfig> ParseServerConfig(int argc, const char* const* argv);

}  // namespace tao::config
