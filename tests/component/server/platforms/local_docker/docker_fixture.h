#pragma once

// What the tests of local-docker share: a program `docker` that keeps one container, one image and
// one network as files, and records what it was called with: arguments, and names of its
// environment.

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "server/base/strings.h"
#include "server/platforms/local_docker/local_docker_platform.h"
#include "server/registry/step.h"

namespace tao::platforms {

constexpr char kJobId[] = "33333333-3333-4333-8333-333333333333";
constexpr char kDaemonId[] = "11111111-1111-4111-8111-111111111111";
constexpr char kOtherDaemonId[] = "22222222-2222-4222-8222-222222222222";

// Answers as docker 28.2.2 does. FOLDER/run_failures: what the next runs say, a line each. An
// engine on another host has its container, image and network in FOLDER/far; FOLDER/engines has
// which engine each call was for.
constexpr char kDockerScript[] = R"SCRIPT(
all=$folder engine=
if [ "$1" = --host ] || [ "$1" = --context ]; then engine="$1 $2"; shift 2; fi
case "$engine" in "--host ssh:"* | "--host tcp:"* | "--context "*) folder=$folder/far; mkdir -p "$folder" ;; esac
printf '%s|%s\n' "$engine" "$1 $2" >> "$all/engines"
printf '%s\n' "${*//$'\n'/ }" >> "$all/calls"
compgen -e | sed "s/^/$1 /" >> "$all/environment"
last=${!#}
no_container() { echo "Error response from daemon: No such container: $last" >&2; exit 1; }
facts() {  # status port
  printf '{"name":"/%s","status":"%s","exit_code":0,"oom_killed":false,"error":"",' "$name" "$1"
  printf '"labels":{"tao-job":"%s","tao-daemon":"%s"},' "$name" "$daemon"
  printf '"ports":{"8080/tcp":[{"HostIp":"127.0.0.1","HostPort":"%s"}]}}\n' "$2"
}
case "$1 $2" in
  "--version ") cat "$folder/version" ;;
  "info --format") cat "$folder/runtimes" ;;
  "run --rm") cat "$folder/gpus"; [ ! -e "$folder/gpus_fail" ] || { cat "$folder/gpus_fail" >&2; exit 125; } ;;
  "version --format") [ ! -e "$folder/lost" ] || { cat "$folder/lost" >&2; exit 1; }
    [ ! -e "$folder/down" ] && echo 28.2.2 && exit
    echo 'Cannot connect to the Docker daemon at unix:///x.sock. Is the docker daemon running?' >&2
    exit 1 ;;
  "context inspect")
    file=$all/context; [ "$last" = "$4" ] || file=$all/context-$last
    [ -e "$file" ] || { echo "context \"$last\": context not found: open /x: no such file" >&2; exit 1; }
    read -r name host tls < "$file"; printf '{"name":"%s","host":"%s","tls":%s}\n' "$name" "$host" "${tls:-{\}}" ;;
  "inspect --type")
    [ ! -e "$folder/lost" ] || { cat "$folder/lost" >&2; exit 1; }
    [ ! -e "$folder/down" ] || { echo 'Cannot connect to the Docker daemon at x' >&2; exit 1; }
    [ -e "$folder/container" ] || { echo; no_container; }
    cat "$folder/container" ;;
  "image inspect") [ -e "$folder/image" ] || { echo "Error: No such image: $last" >&2; exit 1; } ;;
  "pull "*)
    [ ! -e "$folder/pull_hangs" ] || { touch "$folder/pulling"; exec sleep 60; }
    [ ! -e "$folder/pull_fails" ] || { cat "$folder/pull_fails" >&2; exit 1; }
    echo 'a3ed95caeb02: Pulling fs layer'; echo 'b3ed95caeb02: Already exists'
    echo 'a3ed95caeb02: Pull complete'; touch "$folder/image" ;;
  "network inspect")
    [ -e "$folder/network" ] || { echo "Error response from daemon: network $last not found" >&2; exit 1; }
    cat "$folder/network" ;;
  "network create") echo "{\"labels\":{\"${4%%=*}\":\"${4#*=}\"},\"endpoints\":0}" > "$folder/network" ;;
  "network rm") rm "$folder/network" ;;
  "run --detach")
    while [ "$1" != --name ]; do shift; done; name=$2
    while [[ $1 != tao-daemon=* ]]; do shift; done; daemon=${1#*=}
    while [ "$1" != --publish ]; do shift; done; port=${2%:*}; port=${port##*:}
    if [ -s "$folder/run_failures" ]; then
      facts created "$port" > "$folder/container"
      head -n 1 "$folder/run_failures" >&2; sed -i 1d "$folder/run_failures"; exit 125
    fi
    facts running "$port" > "$folder/container"
    [ ! -e "$folder/run_hangs" ] || { touch "$folder/running"; exec sleep 60; }
    echo 0123456789abcdef ;;
  "stop "*) [ -e "$folder/container" ] || no_container; echo "$last" ;;
  "rm "*) rm -f "$folder/container"; echo "$last" ;;
  "logs "*) echo 'to stdout'; echo 'to stderr' >&2 ;;
  "ps --filter") [ ! -e "$folder/taken" ] || cat "$folder/taken" ;;
  "ps "*) [ ! -e "$folder/container" ] || echo 0123456789ab ;;
  *) echo "unknown command: docker $*" >&2; exit 1 ;;
esac
)SCRIPT";

inline std::string Message(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

// Both sessions; keeps what the driver asks for, in order.
class Session : public LaunchSession, public StopSession {
 public:
  absl::Status BeginStep(registry::Step step) override {
    calls.push_back("begin " + std::string(registry::ToString(step)));
    return absl::OkStatus();
  }
  absl::Status EndStep(registry::Step step) override {
    calls.push_back("end " + std::string(registry::ToString(step)));
    return absl::OkStatus();
  }
  absl::Status SaveDriverState(const std::map<std::string, std::string>& state) override {
    calls.push_back("save");
    saved = state;
    return absl::OkStatus();
  }
  void ReportProgress(const registry::Progress& progress) override {
    told.push_back(progress.message);
  }
  int host_port() const override { return ports.front(); }
  void ReportPending(std::string_view, std::string_view) override {}
  absl::StatusOr<int> InstancePort(const std::string& instance_id, bool next) override {
    instances.push_back(instance_id);
    if (next) ++instance_port;
    return instance_port;
  }
  std::map<std::string, std::string> SavedDriverState() const override { return saved; }
  absl::StatusOr<int> NextPort() override {
    calls.push_back("next port");
    if (ports.size() == 1) return absl::ResourceExhaustedError("no port is left");
    ports.erase(ports.begin());
    return ports.front();
  }
  const std::vector<std::string>& gpu_ids() const override { return gpus; }
  const base::CancelToken& cancel() const override { return token; }

  std::vector<std::string> calls, told, gpus;
  std::map<std::string, std::string> saved;
  std::vector<int> ports = {8080, 8081, 8082};  // the leased one, and the next ones
  std::vector<std::string> instances;           // whose ports were asked for
  int instance_port = 8100;
  base::CancelToken token;
};

class Lines : public LogSink {
 public:
  bool OnLine(std::string_view line) override {
    lines.emplace_back(line);
    return lines.size() < enough;
  }
  std::vector<std::string> lines;
  size_t enough = SIZE_MAX;
};

class LocalDockerTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "tao-local-docker-XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    const std::string program = PathOf("docker");
    std::ofstream(program) << "#!/bin/bash\nfolder=" << folder_ << kDockerScript;
    ASSERT_EQ(chmod(program.c_str(), 0755), 0);
    Write("version", "Docker version 28.2.2, build e6534b4\n");
    Write("context", "default unix:///var/run/docker.sock\n");
    plan_.job_id = kJobId;
    plan_.image = "registry.test/x:1";
    plan_.image_source = "IMAGE_X";
    plan_.inner_command = launch::InnerCommand({"serve"}, std::nullopt);
    plan_.gpus.mode = launch::GpuMode::kNone;
    Restart();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Restart() {
    LocalDockerConfig config;
    config.docker_program = PathOf("docker");
    config.ssh_program = PathOf("ssh");
    config.daemon_id = kDaemonId;
    config.tunnels = &tunnels_;
    config.refused_limit = config.no_answer_limit = absl::Milliseconds(300);
    config.reach = reach_;
    config.gpu_sources = {.nvidia_smi = PathOf("nvidia-smi"), .tegra_release = PathOf("tegra")};
    config.environment = [this](const std::string& name) -> std::optional<std::string> {
      const auto found = environment_.find(name);
      return found == environment_.end() ? std::nullopt : std::optional(found->second);
    };
    platform_ = std::make_unique<LocalDockerPlatform>(std::move(config));
  }

  std::string PathOf(const std::string& name) const { return folder_ + "/" + name; }
  bool Exists(const std::string& name) const { return std::filesystem::exists(PathOf(name)); }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(PathOf(name)) << text;
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(PathOf(name));
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  void ContainerIs(const std::string& status, const std::string& daemon_id = kDaemonId) const {
    Write("container",
          "{\"name\":\"/" + std::string(kJobId) + "\",\"status\":\"" + status +
              "\",\"exit_code\":0,\"oom_killed\":false,\"error\":\"\",\"labels\":{\"tao-job\":\"" +
              kJobId + "\",\"tao-daemon\":\"" + daemon_id +
              "\"},\"ports\":{\"8080/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"8085\"}]}}\n");
  }
  void NetworkIs(const std::string& daemon_id, int endpoints) const {
    Write("network", "{\"labels\":{\"tao-daemon\":\"" + daemon_id +
                         "\"},\"endpoints\":" + std::to_string(endpoints) + "}\n");
  }
  // How often docker was called with arguments that begin with `prefix`.
  int Calls(const std::string& prefix) const {
    std::istringstream calls(Read("calls"));
    int count = 0;
    for (std::string line; std::getline(calls, line);) count += line.starts_with(prefix) ? 1 : 0;
    return count;
  }

  std::string folder_;
  DockerReach reach_ = DockerReach::kLocalhost;
  Tunnels tunnels_;
  std::map<std::string, std::string> environment_;
  launch::LaunchPlan plan_;
  Session session_;
  const PlatformJob job_ = {.job_id = kJobId, .host_port = 8080, .driver_state = {}};
  std::unique_ptr<LocalDockerPlatform> platform_;
};

}  // namespace tao::platforms
