#pragma once

// What the component tests of brev share: programs `brev`, `ssh`, `docker` and `nvidia-smi` that
// are shell scripts over one folder, where `hang` holds a word; a program whose command line has it
// says so (`hanging`) and never ends. The end-to-end tests have the real ssh and docker.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "server/base/mutex.h"
#include "server/platforms/brev/brev_platform.h"
#include "tests/component/server/registry/temporary_folder.h"

namespace tao::platforms {

inline constexpr char kDaemonId[] = "deadbeef-0000-4000-8000-000000000000";
inline constexpr char kJobId[] = "33333333-3333-4333-8333-333333333333";

class World {
 public:
  World() {
    for (const char* folder : {"bin", "remote", "containers", "home"}) {
      std::filesystem::create_directory(Path(folder));
    }
    Program("bin/brev", R"sh(
case "$1" in
--version) echo 'Current version: v0.6.322' ;;
ls) cat "$W/instances" ;;
search) echo '[{"type":"t4","gpu_count":1,"price_per_hour":0.5}]' ;;
create)
  if [ "$2" = --help ]; then echo '  --type string'; echo '  --detached'; exit; fi
  sed "s/NAME/$2/" "$W/template" > "$W/instances.new"; mv "$W/instances.new" "$W/instances" ;;
delete) echo '{"workspaces":null}' > "$W/instances" ;;
esac
)sh");
    // Everything runs here; a tunnel listens, and carries nothing.
    Program("bin/ssh", R"sh(
if [ -e "$W/ssh-down" ]; then
  echo 'ssh: connect to host 192.0.2.7 port 22: Connection refused' >&2; exit 255
fi
if [ "$1" = -G ]; then echo "hostname $(cat "$W/hostname")"; exit; fi
for last in "$@"; do
  case "$last" in 127.0.0.1:*:127.0.0.1:*) port=${last#127.0.0.1:}; port=${port%%:*} ;; esac
done
if [ -n "${port-}" ]; then
  exec python3 -c "
import socket, signal, sys
s = socket.create_server(('127.0.0.1', int(sys.argv[1])))
signal.pause()" "$port"
fi
PATH="$W/remote:$PATH" exec sh -c "$last"
)sh");
    Program("remote/nvidia-smi", "echo '0, GPU-aaaa, 5'\n");
    // A container is a file with the line that inspect prints.
    Program("remote/docker", R"sh(
for last in "$@"; do :; done
case "$1 $2" in
"image inspect") if [ -e "$W/pulled" ]; then echo sha256:1; exit; fi
  echo 'Error: No such image: x' >&2; exit 1 ;;
"inspect "*)
  shift 5; code=0
  for name; do
    if [ -e "$W/containers/$name" ]; then cat "$W/containers/$name"
    else echo "Error: No such container: $name" >&2; code=1; fi
  done
  exit $code ;;
"pull "*) touch "$W/pulled" ;;
"ps --all") ls "$W/containers" ;;
"ps "*) ;;
"run "*)
  while [ $# -gt 0 ]; do
    case "$1" in --name) name=$2 ;; --publish) port=$2 ;; esac
    shift
  done
  port=${port#*:}; port=${port%%:*}
  if [ -e "$W/containers/$name" ]; then
    echo "Conflict. The container name \"/$name\" is already in use by container" >&2; exit 125
  fi
  sed "s/NAME/$name/g; s/PORT/$port/" "$W/container" > "$W/containers/$name" ;;
"rm "*) rm -f "$W/containers/$last" ;;
"stop "*) ;;
*) exit 0 ;;
esac
)sh");
    Write("container",
          std::string(R"({"name":"/NAME","status":"running","exit_code":0,"oom_killed":false,)") +
              R"("error":"","labels":{"tao-job":"NAME","tao-daemon":")" + kDaemonId +
              R"("},"ports":{"8080/tcp":[{"HostIp":"127.0.0.1","HostPort":"PORT"}]}})" + "\n");
    Write("template", Listing("NAME", "RUNNING"));
    Write("instances", R"({"workspaces":null})");
    Write("hostname", "192.0.2.7");
  }

  static std::string Listing(const std::string& name, const std::string& status) {
    return R"({"workspaces":[{"name":")" + name + R"(","id":"id-1","status":")" + status +
           R"(","build_status":"COMPLETED","shell_status":"READY"}]})" + "\n";
  }
  std::string Path(const std::string& name) const { return folder_.path() + "/" + name; }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(Path(name + ".new")) << text;
    std::filesystem::rename(Path(name + ".new"), Path(name));
  }
  void Remove(const std::string& name) { std::filesystem::remove(Path(name)); }
  std::string Read(const std::string& name) const {
    std::ifstream file(Path(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // A container of `job_id`, as a docker run of ours leaves it, in docker's word `status`.
  void AddContainer(const std::string& job_id, const std::string& status = "running") {
    std::string line = Read("container");
    for (const auto& [from, to] : std::map<std::string, std::string>{
             {"NAME", job_id}, {"PORT", "8080"}, {"running", status}}) {
      for (size_t at = line.find(from); at != std::string::npos;
           at = line.find(from, at + to.size())) {
        line.replace(at, from.size(), to);
      }
    }
    Write("containers/" + job_id, line);
  }
  // Programs whose command line has `word` hang from now on.
  void Hang(const std::string& word) { Write("hang", word); }
  void Resume() { Remove("hang"); }
  // Until one of them does; false after 20 s.
  [[nodiscard]] bool WaitForHanging() const {
    const absl::Time limit = absl::Now() + absl::Seconds(20);
    while (!std::filesystem::exists(Path("hanging"))) {
      if (absl::Now() > limit) return false;
      std::this_thread::yield();
    }
    return true;
  }
  // How many command lines began with `words`.
  int Count(const std::string& words) const {
    std::ifstream calls(Path("calls"));
    int count = 0;
    for (std::string line; std::getline(calls, line);) count += line.starts_with(words);
    return count;
  }

  BrevConfig Config(Tunnels& tunnels) const {
    BrevConfig config;
    config.daemon_id = kDaemonId;
    config.tunnels = &tunnels;
    config.brev_program = Path("bin/brev");
    config.ssh_program = Path("bin/ssh");
    config.environment = [home = Path("home")](const std::string& name) {
      return name == "HOME" ? std::optional<std::string>(home) : std::nullopt;
    };
    config.poll_interval = absl::Milliseconds(20);
    config.removal_interval = absl::Milliseconds(10);
    config.pod_token = Path("none");
    return config;
  }

 private:
  void Program(const std::string& name, const std::string& body) {
    const std::string word = name.substr(name.find('/') + 1);
    std::ofstream(Path(name))
        << "#!/bin/sh\nW=" << folder_.path() << "\nsaid=$(printf '%s ' " << word
        << " \"$@\" | tr '\\n' ' ')\necho \"$said\" >> $W/calls\n"
        << "if [ -e $W/hang ] && case \"$said\" in *\"$(cat $W/hang)\"*) true;; "
        << "*) false;; esac; then\n  touch $W/hanging\n  exec sleep 1000\nfi\n"
        << body;
    chmod(Path(name).c_str(), 0755);
  }

  registry::TemporaryFolder folder_;
};

// Both sessions; ports are counted up.
class Session : public LaunchSession, public StopSession {
 public:
  explicit Session(int host_port = 0) : host_port_(host_port) {}
  absl::Status BeginStep(registry::Step) override { return absl::OkStatus(); }
  absl::Status EndStep(registry::Step) override { return absl::OkStatus(); }
  absl::Status SaveDriverState(const std::map<std::string, std::string>& state) override {
    saved = state;
    return absl::OkStatus();
  }
  void ReportProgress(const registry::Progress&) override {}
  void ReportPending(std::string_view, std::string_view) override {}
  int host_port() const override { return host_port_; }
  absl::StatusOr<int> NextPort() override { return ++host_port_; }
  absl::StatusOr<int> InstancePort(const std::string&, bool next) override {
    if (next || instance_port == 0) instance_port = instance_port == 0 ? 8080 : instance_port + 1;
    return instance_port;
  }
  const std::vector<std::string>& gpu_ids() const override { return gpus; }
  const base::CancelToken& cancel() const override { return token; }

  std::map<std::string, std::string> saved;
  int instance_port = 0;
  std::vector<std::string> gpus;
  base::CancelToken token;

 private:
  int host_port_;
};

}  // namespace tao::platforms
