// The composition root of tao-inference-server: configuration -> parts -> run -> drain. No logic.

#include <absl/strings/str_format.h>
#include <absl/synchronization/mutex.h>
#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/gateway.h"
#include "server/api/server.h"
#include "server/base/log.h"
#include "server/base/secret.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/base/work_pool.h"
#include "server/catalog/catalog.h"
#include "server/catalog/request_json_schema.h"
#include "server/config/server_config.h"
#include "server/contract/contracts.h"
#include "server/io/http_client.h"
#include "server/lifecycle/backend_of.h"
#include "server/lifecycle/lifecycle.h"
#include "server/lifecycle/port_lock.h"
#include "server/lifecycle/route_publisher.h"
#include "server/platforms/brev/brev_platform.h"
#include "server/platforms/kubernetes/kubernetes_platform.h"
#include "server/platforms/lepton/lepton_platform.h"
#include "server/platforms/local_docker/local_docker_platform.h"
#include "server/platforms/local_process/local_process_platform.h"
#include "server/platforms/slurm/slurm_platform.h"
#include "server/platforms/tunnels.h"
#include "server/readiness/hub.h"
#include "server/readiness/prober.h"
#include "server/registry/registry.h"
#include "server/registry/registry_file_sync.h"
#include "server/registry/state_directory.h"

namespace tao {
namespace {

constexpr int kObserverThreads = 4;

std::optional<std::string> Environment(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

launch::GpuMode GpuModeNamed(const std::string& name) {
  if (name == "device") return launch::GpuMode::kDevice;
  if (name == "tegra") return launch::GpuMode::kTegra;
  if (name == "none") return launch::GpuMode::kNone;
  return launch::GpuMode::kAuto;
}

base::LogLevel LogLevelNamed(const std::string& name) {
  if (name == "debug") return base::LogLevel::kDebug;
  if (name == "warning") return base::LogLevel::kWarning;
  if (name == "error") return base::LogLevel::kError;
  return base::LogLevel::kInfo;
}

// What gRPC and protobuf would print on stderr becomes lines of our log, in its format.
void KeepLibrariesInTheLog() {
  google::protobuf::SetLogHandler(
      [](google::protobuf::LogLevel, const char*, int, const std::string& message) {
        base::Log(base::LogLevel::kDebug, "protobuf", message, {});
      });
  gpr_set_log_function([](gpr_log_func_args* line) {
    base::Log(base::LogLevel::kDebug, "grpc", line->message, {});
  });
}

// Connections are descriptors: the soft limit of 1024 is no service's limit.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Blocked in every thread that is made from here on, so that one descriptor tells of them. A broken
// connection is an error number, never a signal.
int BlockSignals() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signalfd(-1, &signals, SFD_CLOEXEC);
}

class Cutter : public lifecycle::ExchangeCutter {
 public:
  explicit Cutter(gateway::Gateway& gateway) : gateway_(gateway) {}
  void CutExchanges(std::string_view job_id) override { gateway_.CutExchanges(job_id); }

 private:
  gateway::Gateway& gateway_;
};

// What the gateway and the API tell each other goes through these; everything is wired here.
class Server {
 public:
  explicit Server(const config::ServerConfig& config) : config_(config) {}
  ~Server() { Stop(); }

  absl::Status Start();
  // Returns when a signal to end arrived, having done what is due meanwhile.
  void RunUntil(int signals);
  void Stop();

 private:
  absl::Status OpenState();
  void MakePlatforms();
  absl::Status CheckDefaultPlatform() const;
  absl::Status StartFaces();

  const config::ServerConfig& config_;
  std::shared_ptr<const catalog::Catalog> catalog_;
  std::unique_ptr<registry::StateDirectory> state_;
  std::unique_ptr<registry::Registry> registry_;
  std::unique_ptr<registry::RegistryFileSync> registry_file_;
  std::unique_ptr<lifecycle::Leases> leases_;
  platforms::Tunnels tunnels_;  // of the platforms
  std::vector<std::unique_ptr<platforms::Platform>> platforms_;
  lifecycle::Parts parts_;
  readiness::Hub hub_;
  std::unique_ptr<io::HttpClient> http_;
  std::unique_ptr<base::WorkPool> observers_;
  std::unique_ptr<gateway::Gateway> gateway_;
  std::unique_ptr<Cutter> cutter_;
  std::unique_ptr<lifecycle::RoutePublisher> routes_;
  std::unique_ptr<lifecycle::Lifecycle> lifecycle_;
  std::unique_ptr<readiness::Prober> prober_;
  std::unique_ptr<api::ApiServer> api_;
  bool stopped_ = false;
};

absl::Status Server::OpenState() {
  ASSIGN_OR_RETURN(catalog_, catalog::Catalog::Load(config_.references));
  // Known to Redact() from here on: the output of an adopted service may hold what an earlier
  // daemon gave it.
  for (const auto* const names : {&catalog_->secrets().passed_on, &catalog_->secrets().own}) {
    for (const std::string& name : *names) base::SecretFromEnvironment(name);
  }
  ASSIGN_OR_RETURN(state_, registry::StateDirectory::Open(config_.state_dir));
  ASSIGN_OR_RETURN(registry_, registry::Registry::Open(*state_));
  registry_file_ =
      std::make_unique<registry::RegistryFileSync>(config_.registry, *registry_, base::RealClock());
  leases_ = std::make_unique<lifecycle::Leases>(
      [this](const std::string& instance_id) { return registry_file_->ForeignPorts(instance_id); },
      lifecycle::LockHostPort);
  for (const auto& record : registry_->List()) leases_->Restore(*record);
  return absl::OkStatus();
}

void Server::MakePlatforms() {
  // No helper program inherits them, but the one that a value is meant for.
  std::vector<std::string> secret_names = catalog_->secrets().passed_on;
  const std::vector<std::string>& own = catalog_->secrets().own;
  secret_names.insert(secret_names.end(), own.begin(), own.end());

  platforms_.push_back(std::make_unique<platforms::LocalProcessPlatform>(
      platforms::LocalProcessConfig{.parent_program = config_.process_parent,
                                    .jobs_folder = state_->path() + "/jobs",
                                    .daemon_id = state_->daemon_id(),
                                    .path_prefix = config_.local_process_path}));
  platforms::LocalDockerConfig docker;
  docker.daemon_id = state_->daemon_id();
  docker.tunnels = &tunnels_;
  docker.network = config_.docker_network;
  docker.reach = config_.reach == "network" ? platforms::DockerReach::kNetwork
                                            : platforms::DockerReach::kLocalhost;
  docker.secret_names = secret_names;
  platforms_.push_back(std::make_unique<platforms::LocalDockerPlatform>(std::move(docker)));
  platforms::SlurmConfig slurm;
  slurm.daemon_id = state_->daemon_id();
  slurm.secret_names = secret_names;
  slurm.tunnels = &tunnels_;
  platforms_.push_back(std::make_unique<platforms::SlurmPlatform>(std::move(slurm)));

  platforms::KubernetesConfig kubernetes;
  kubernetes.daemon_id = state_->daemon_id();
  kubernetes.secret_names = secret_names;
  platforms_.push_back(
      std::make_unique<platforms::KubernetesPlatform>(std::move(kubernetes), tunnels_));

  platforms_.push_back(
      std::make_unique<platforms::LeptonPlatform>(*http_, platforms::LeptonConfig{}));

  platforms::BrevConfig brev;
  brev.daemon_id = state_->daemon_id();
  brev.tunnels = &tunnels_;
  brev.secret_names = secret_names;
  platforms_.push_back(std::make_unique<platforms::BrevPlatform>(std::move(brev)));

  for (const auto& platform : platforms_) {
    parts_.platforms.emplace(std::string(platform->traits().name), platform.get());
  }
}

absl::Status Server::CheckDefaultPlatform() const {
  const std::string& name = config_.default_platform;
  if (name.empty() || parts_.PlatformNamed(name) != nullptr) return absl::OkStatus();
  std::vector<std::string> names;
  for (const auto& [known, platform] : parts_.platforms) names.push_back(known);
  return absl::InvalidArgumentError(
      absl::StrFormat("default_platform %s is no platform; choose one of: %s", base::Quoted(name),
                      base::JoinedList(names)));
}

absl::Status Server::StartFaces() {
  gateway::GatewayConfig config;
  config.listen = config_.gateway_listen;
  config.admin_listen = config_.admin_listen;
  config.access_log = config_.access_log;
  config.workers = config_.gateway_workers;
  config.max_body_bytes = config_.max_body_bytes;
  config.contracts = contract::Contracts::Build(catalog_->request());
  config.strict = config_.strict;
  config.spool.folder = config_.spool_dir;
  config.spool.allow_tmpfs = config_.allow_tmpfs_spool;
  config.spool.max_bytes = config_.spool_max_bytes;
  config.cold_start_wait = absl::Seconds(config_.cold_start_wait_seconds);
  config.max_cold_start_wait = absl::Seconds(config_.max_cold_start_wait_seconds);
  config.max_held_requests = static_cast<size_t>(config_.max_held_requests);
  config.early_stream_after = absl::Seconds(config_.early_stream_seconds);
  config.heartbeat_interval = absl::Seconds(config_.heartbeat_seconds);
  config.max_connections = static_cast<size_t>(config_.max_connections);
  config.max_connections_per_client = static_cast<size_t>(config_.max_connections_per_client);
  config.drain_notice = absl::Seconds(config_.drain_notice_seconds);
  config.upstream.ca_file = config_.upstream_ca_file;
  config.upstream.timeouts.connect = absl::Seconds(config_.connect_timeout_seconds);
  config.upstream.timeouts.first_byte = absl::Seconds(config_.first_byte_timeout_seconds);
  config.upstream.timeouts.between_bytes = absl::Seconds(config_.between_bytes_timeout_seconds);
  if (config_.total_timeout_seconds > 0) {
    config.upstream.timeouts.total = absl::Seconds(config_.total_timeout_seconds);
  }
  for (const std::string& arch : catalog_->arch_names()) {
    config.request_schemas[arch] = catalog::RequestJsonSchema(catalog_->request(), arch);
  }
  ASSIGN_OR_RETURN(gateway_, gateway::Gateway::Start(config, prober_.get()));
  cutter_ = std::make_unique<Cutter>(*gateway_);
  parts_.exchanges = gateway_.get();
  parts_.cutter = cutter_.get();
  routes_ = std::make_unique<lifecycle::RoutePublisher>(
      parts_, [this](std::shared_ptr<const routing::RouteTable> table) {
        gateway_->Publish(std::move(table));
      });
  routes_->PublishNow();
  // Routes first: who is told of a change by another observer can rely on its being routable.
  registry_->AddObserver(routes_.get());
  registry_->AddObserver(&hub_);
  registry_->AddObserver(registry_file_.get());
  registry_->AddObserver(prober_.get());
  RETURN_IF_ERROR(registry_file_->Start(*lifecycle_));
  lifecycle_->Recover();

  ASSIGN_OR_RETURN(api_,
                   api::ApiServer::Start({.listen = config_.grpc_listen,
                                          .max_receive_bytes = config_.max_grpc_message_bytes,
                                          .gateway_base_url = "http://" + gateway_->address()},
                                         {.lifecycle = lifecycle_.get(),
                                          .registry = registry_.get(),
                                          .hub = &hub_,
                                          .gateway = gateway_.get(),
                                          .catalog = catalog_.get(),
                                          .route_table = [this] { return routes_->table(); }}));
  return absl::OkStatus();
}

absl::Status Server::Start() {
  if (!config_.fault_point.empty()) {
    RETURN_IF_ERROR(registry::ArmFaultPoint(config_.fault_point));
  }
  RETURN_IF_ERROR(OpenState());
  http_ = io::NewCurlHttpClient({.ca_file = config_.upstream_ca_file});
  MakePlatforms();
  RETURN_IF_ERROR(CheckDefaultPlatform());
  parts_.config.default_platform = config_.default_platform;
  parts_.config.default_gpu_mode = GpuModeNamed(config_.gpu_mode);
  parts_.config.drain_timeout = absl::Seconds(config_.drain_timeout_seconds);
  parts_.catalog = catalog_;
  parts_.state = state_.get();
  parts_.registry = registry_.get();
  parts_.registry_file = registry_file_.get();
  parts_.leases = leases_.get();
  parts_.clock = &base::RealClock();
  parts_.environment = Environment;
  lifecycle_ = std::make_unique<lifecycle::Lifecycle>(parts_);
  observers_ = std::make_unique<base::WorkPool>(kObserverThreads, SIZE_MAX);
  prober_ = std::make_unique<readiness::Prober>(
      readiness::ProberConfig{}, *http_, *observers_, base::RealClock(),
      [this](const registry::ServiceRecord& record) { return lifecycle_->Observe(record); },
      [this](const registry::ServiceRecord& record) {
        return lifecycle::BackendOf(parts_, record);
      },
      *lifecycle_);
  RETURN_IF_ERROR(StartFaces());
  base::Log(
      base::LogLevel::kInfo, "server", "ready",
      {{"grpc", config_.grpc_listen.substr(0, config_.grpc_listen.rfind(':')) + ":" +
                    std::to_string(api_->port())},
       {"gateway", "http://" + gateway_->address()},
       {"admin", config_.admin_listen.empty() ? "off" : "http://" + gateway_->admin_address()},
       {"state_dir", state_->path()},
       {"registry", config_.registry}});
  return absl::OkStatus();
}

void Server::RunUntil(int signals) {
  constexpr int kPruneEveryMs = 60'000;
  pollfd waiting{.fd = signals, .events = POLLIN, .revents = 0};
  while (true) {
    if (poll(&waiting, 1, kPruneEveryMs) <= 0) {
      lifecycle_->Prune();
      continue;
    }
    signalfd_siginfo signal{};
    if (read(signals, &signal, sizeof signal) != sizeof signal) continue;
    if (signal.ssi_signo != SIGHUP) return;
    gateway_->ReopenAccessLog();
  }
}

void Server::Stop() {
  if (stopped_) return;
  stopped_ = true;
  // First both say that they are not ready, for what they wait for may take as long as is allowed.
  if (api_ != nullptr) api_->BeginDrain();
  if (gateway_ != nullptr) gateway_->BeginDrain();
  const absl::Time deadline = absl::Now() + parts_.config.drain_timeout;
  if (api_ != nullptr) api_->Shutdown(deadline);  // also what Infer has in the gateway
  if (gateway_ != nullptr) gateway_->Drain(std::max(deadline - absl::Now(), absl::ZeroDuration()));
  if (lifecycle_ != nullptr && config_.stop_services_on_exit) {
    lifecycle_->StopAll(absl::ZeroDuration());
  }
  // No finding after this. It stays where it is: operations that end go on changing records, and
  // the registry tells it of them.
  if (prober_ != nullptr) prober_->Stop();
  if (lifecycle_ != nullptr) lifecycle_->Shutdown();
  if (registry_file_ != nullptr) registry_file_->Stop();
  lifecycle_.reset();  // waits for the operations that run
  api_.reset();
}

int Main(int argc, char** argv) {
  const absl::StatusOr<config::ParsedConfig> parsed = config::ParseServerConfig(argc, argv);
  if (!parsed.ok()) {
    std::fprintf(stderr, "tao-inference-server: %s\n",
                 std::string(parsed.status().message()).c_str());
    return 2;
  }
  if (parsed->exit_now) {
    std::fputs(parsed->text.c_str(), stdout);
    return 0;
  }
  if (parsed->config.list_fault_points) {
    std::fputs(registry::FaultPointList().c_str(), stdout);
    return 0;
  }
  base::ConfigureLog(LogLevelNamed(parsed->config.log_level), parsed->config.log_format == "json"
                                                                  ? base::LogFormat::kJson
                                                                  : base::LogFormat::kText);
  // Debian's Abseil looks for lock cycles in release builds too, at every lock. Cycles are found by
  // ThreadSanitizer in the tests.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  KeepLibrariesInTheLog();
  RaiseDescriptorLimit();
  const int signals = BlockSignals();
  Server server(parsed->config);
  if (const absl::Status started = server.Start(); !started.ok()) {
    std::fprintf(stderr, "tao-inference-server: %s\n", std::string(started.message()).c_str());
    return 1;
  }
  server.RunUntil(signals);
  base::Log(base::LogLevel::kInfo, "server",
            parsed->config.stop_services_on_exit ? "shutting down, and stopping every service"
                                                 : "shutting down; services run on");
  server.Stop();
  return 0;
}

}  // namespace
}  // namespace tao

int main(int argc, char** argv) { return tao::Main(argc, argv); }
