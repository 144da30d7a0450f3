// What docker and its engine say when something fails: each text as they write it.

#include <gmock/gmock.h>

#include <algorithm>

#include "server/base/secret.h"
#include "server/base/strings.h"
#include "server/platforms/docker/docker_parse.h"

namespace tao::platforms {
namespace {

using Code = absl::StatusCode;
using Kind = DockerFailure;
using testing::HasSubstr;
using testing::Not;

std::string Message(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

struct Row {
  const char* words;
  Kind kind;
  Code code;
  const char* advice;
};

const std::vector<Row>& Rows() {
  static const auto* const rows = new std::vector<Row>{
      {"Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon "
       "running?",
       Kind::kOther, Code::kUnavailable, "systemctl start docker"},
      {"failed to connect to the docker API at unix:///x.sock; check if the path is correct",
       Kind::kOther, Code::kUnavailable, "DOCKER_HOST"},
      {"permission denied while trying to connect to the Docker daemon socket at unix:///x: Get "
       "\"http://...\": dial unix /x: connect: permission denied",
       Kind::kOther, Code::kFailedPrecondition, "usermod -aG docker"},
      {"docker: Error response from daemon: could not select device driver \"\" with capabilities: "
       "[[gpu]].",
       Kind::kOther, Code::kFailedPrecondition, "nvidia-ctk runtime configure"},
      {"nvidia-container-cli: device error: 7: unknown device: unknown.", Kind::kOther,
       Code::kFailedPrecondition, "nvidia-smi -L"},
      {"nvidia-container-cli: initialization error: nvml error: driver not loaded", Kind::kOther,
       Code::kFailedPrecondition, "nvidia-smi"},
      {"no CDI device driver registered", Kind::kOther, Code::kFailedPrecondition, "cdi generate"},
      {"unresolvable CDI devices nvidia.com/gpu=0", Kind::kOther, Code::kFailedPrecondition,
       "cdi generate"},
      {"cannot set both Count and DeviceIDs on device request.", Kind::kOther, Code::kInternal,
       "report it"},
      {"docker: Error response from daemon: Conflict. The container name \"/x\" is already in use "
       "by container \"abc\". You have to remove (or rename) that container to be able to reuse "
       "that name.",
       Kind::kNameTaken, Code::kAlreadyExists, "docker ps -a"},
      {"Bind for 127.0.0.1:8080 failed: port is already allocated.", Kind::kPortTaken,
       Code::kResourceExhausted, "host port"},
      {"Error starting userland proxy: listen tcp4 127.0.0.1:8080: bind: address already in use.",
       Kind::kPortTaken, Code::kResourceExhausted, "host port"},
      {"failed to bind host port 127.0.0.1:8080/tcp: address already in use", Kind::kPortTaken,
       Code::kResourceExhausted, "host port"},
      {"pull access denied for x, repository does not exist or may require 'docker login': denied: "
       "requested access to the resource is denied",
       Kind::kOther, Code::kPermissionDenied, "docker login nvcr.io"},
      {"unauthorized: authentication required", Kind::kOther, Code::kPermissionDenied,
       "$oauthtoken"},
      {"Error response from daemon: unauthorized", Kind::kOther, Code::kPermissionDenied,
       "$oauthtoken"},
      {"no basic auth credentials", Kind::kOther, Code::kPermissionDenied, "docker login"},
      {"denied: requested access to the resource is denied", Kind::kOther, Code::kPermissionDenied,
       "docker login"},
      {"Error response from daemon: denied", Kind::kOther, Code::kPermissionDenied, "docker login"},
      {"manifest for nvcr.io/x:9 not found: manifest unknown: manifest unknown", Kind::kOther,
       Code::kNotFound, "no such tag"},
      {"Error response from daemon: manifest unknown", Kind::kOther, Code::kNotFound,
       "no such tag"},
      {"Error response from daemon: repository r.test/x not found: name unknown: not known",
       Kind::kOther, Code::kNotFound, "no such repository"},
      {"Error response from daemon: Get \"http://127.0.0.1:9/v2/\": dial tcp 127.0.0.1:9: connect: "
       "connection refused",
       Kind::kOther, Code::kUnavailable, "The registry does not answer"},
      {"Error response from daemon: Get \"https://r.test/v2/\": dial tcp 10.0.0.1:443: i/o timeout",
       Kind::kOther, Code::kUnavailable, "The registry does not answer"},
      {"Error response from daemon: Get \"https://nvcr.io/v2/\": dial tcp: lookup nvcr.io on "
       "10.0.0.1:53: dial udp 10.0.0.1:53: connect: network is unreachable",
       Kind::kOther, Code::kUnavailable, "The registry does not answer"},
      {"Error response from daemon: Get \"https://r.test/v2/\": dial tcp 10.0.0.1:443: connect: no "
       "route to host",
       Kind::kOther, Code::kUnavailable, "The registry does not answer"},
      {"Error response from daemon: Get \"https://r.test/v2/\": dial tcp: lookup r.test on "
       "10.0.0.1:53: no such host",
       Kind::kOther, Code::kUnavailable, "DNS"},
      {"Error response from daemon: received unexpected HTTP status: 503 Service Unavailable",
       Kind::kOther, Code::kUnavailable, "try again later"},
      {"no matching manifest for linux/arm64/v8 in the manifest list entries", Kind::kOther,
       Code::kFailedPrecondition, "processor"},
      {"docker: Error response from daemon: network tao_default not found.", Kind::kNoNetwork,
       Code::kNotFound, "docker network create"},
      {"Error response from daemon: No such network: tao_default", Kind::kNoNetwork,
       Code::kNotFound, "docker network create"},
      {"failed to register layer: write /x: no space left on device", Kind::kOther,
       Code::kResourceExhausted, "docker system df"},
      {"toomanyrequests: You have reached your pull rate limit.", Kind::kOther,
       Code::kResourceExhausted, "wait"},
      {"KeyError: 'getpwuid(): uid not found: 1000'", Kind::kOther, Code::kFailedPrecondition,
       "LOGNAME"},
      {"Error response from daemon: client version 1.99 is too new. Maximum supported API version "
       "is 1.41",
       Kind::kOther, Code::kFailedPrecondition, "DOCKER_API_VERSION"},
      {"Error response from daemon: client version 1.22 is too old. Minimum supported API version "
       "is 1.24",
       Kind::kOther, Code::kFailedPrecondition, "upgrade the program"},
      {"configured logging driver does not support reading", Kind::kOther, Code::kNotFound,
       "json-file"},
      {"Error response from daemon: No such container: x", Kind::kNoContainer, Code::kNotFound, ""},
      {"Error: No such object: x", Kind::kNoContainer, Code::kNotFound, ""},
      {"error: no such object: x", Kind::kNoContainer, Code::kNotFound, ""},
      {"Error response from daemon: Cannot kill container: x: No such container: x",
       Kind::kNoContainer, Code::kNotFound, ""},
      {"Error response from daemon: removal of container x is already in progress",
       Kind::kRemovalInProgress, Code::kUnavailable, "try again"},
      {"Error response from daemon: 2 matches found based on name: network tao_default is "
       "ambiguous",
       Kind::kNetworkAmbiguous, Code::kFailedPrecondition, "docker network ls"},
      {"docker: Error response from daemon: network tao_default is ambiguous (2 matches found on "
       "name).",
       Kind::kNetworkAmbiguous, Code::kFailedPrecondition, "docker network ls"},
      {"Error response from daemon: error while removing network: network tao_default id 1 has "
       "active endpoints",
       Kind::kNetworkInUse, Code::kFailedPrecondition, "still use"},
      {"bash: line 1: docker: command not found", Kind::kOther, Code::kFailedPrecondition,
       "install it there"},
      {"sh: 1: docker: not found", Kind::kOther, Code::kFailedPrecondition, "install it there"},
      {"error during connect: Get \"http://x/v1.41/version\": exec: \"ssh\": executable file not "
       "found in $PATH",
       Kind::kOther, Code::kFailedPrecondition, "openssh-client"},
      {"Failed to initialize: unable to resolve docker endpoint: context \"lab\": context not "
       "found: open /root/.docker/contexts/meta/x/meta.json: no such file or directory",
       Kind::kOther, Code::kFailedPrecondition, "docker context ls"},
      {"context \"lab\": context not found: open /x/meta.json: no such file or directory",
       Kind::kOther, Code::kFailedPrecondition, "docker context create"},
      {"Error response from daemon: Client sent an HTTP request to an HTTPS server.", Kind::kOther,
       Code::kFailedPrecondition, "DOCKER_TLS_VERIFY=1"},
      {"error during connect: Get \"https://far:2375/v1.41/version\": http: server gave HTTP "
       "response to HTTPS client",
       Kind::kOther, Code::kFailedPrecondition, "2376 with it"},
      {"error during connect: Get \"http://far:2375/v1.50/version\": dial tcp: lookup far on "
       "10.0.0.53:53: no such host",
       Kind::kOther, Code::kUnavailable, "docker context ls"},
      // Of an engine that was not asked nothing is known, whatever else the text says.
      {"error during connect: Get \"https://far:2376/v1.41/networks/x\": proxy: network x not "
       "found",
       Kind::kOther, Code::kUnavailable, "The Docker engine cannot be reached"},
      {"docker: Error response from daemon: unknown or invalid runtime name: nvidia.", Kind::kOther,
       Code::kFailedPrecondition, "nvidia-ctk runtime configure"},
      {"Error response from daemon: Ports are not available: exposing port TCP 127.0.0.1:8080",
       Kind::kPortTaken, Code::kResourceExhausted, "host port"},
      {"Error response from daemon: could not find an available, non-overlapping IPv4 address pool "
       "among the defaults to assign to the network",
       Kind::kOther, Code::kResourceExhausted, "docker network prune"},
      {"Error response from daemon: Get \"https://nvcr.io/v2/\": net/http: TLS handshake timeout",
       Kind::kOther, Code::kUnavailable, "The registry does not answer"},
      {"manifest for r.test/x:9 not found: manifest of it is unknown", Kind::kOther,
       Code::kNotFound, "no such tag"},
      {"docker: invalid reference format.", Kind::kOther, Code::kFailedPrecondition, "IMAGE_<KEY>"},
      {"Error: No such image: x", Kind::kNoImage, Code::kNotFound, ""},
      {"invalid mount config for type \"bind\": bind source path does not exist: /data",
       Kind::kOther, Code::kFailedPrecondition, "--mount"},
      {"OCI runtime create failed: exec: \"/bin/bash\": stat /bin/bash: no such file or directory",
       Kind::kOther, Code::kFailedPrecondition, "/bin/bash"},
  };
  return *rows;
}

TEST(DockerFailureTest, EachTextHasItsMeaningAndItsAdvice) {
  for (const Row& row : Rows()) {
    EXPECT_EQ(FailureOf(row.words), row.kind) << row.words;
    const absl::Status status = DockerError("service x", 125, row.words);
    EXPECT_EQ(status.code(), row.code) << row.words << " -> " << status;
    EXPECT_THAT(Message(status), HasSubstr(row.advice));
    EXPECT_THAT(Message(status), HasSubstr("service x: "));
  }
}

TEST(DockerFailureTest, EveryRuleIsTried) {
  for (const DockerFailureRule& rule : DockerFailureRules()) {
    const bool tried = std::any_of(Rows().begin(), Rows().end(), [&rule](const Row& row) {
      return base::AsciiLower(row.words).find(rule.text) != std::string::npos;
    });
    EXPECT_TRUE(tried) << rule.text;
  }
}

TEST(DockerFailureTest, TheTextsAreInLowerCase) {
  for (const DockerFailureRule& rule : DockerFailureRules()) {
    EXPECT_EQ(std::string(rule.text), base::AsciiLower(rule.text));  // it is searched in lower case
  }
}

TEST(DockerFailureTest, ANetworkThatExistsIsNoFailureOfItsOwn) {
  EXPECT_EQ(FailureOf("Error response from daemon: network with name tao_default already exists"),
            Kind::kNetworkExists);
}

TEST(DockerErrorTest, TextOnOneLineWithoutHintsAndSecrets) {
  const base::Secret secret("hf_abcdefghijkl");
  const absl::Status status =
      DockerError("service x", 125,
                  "docker: Error response from daemon: odd hf_abcdefghijkl.\n\nRun 'docker run "
                  "--help' for more information\n");
  EXPECT_EQ(Message(status),
            "service x: Error response from daemon: odd *** (exit code 125 of docker)");
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(Message(DockerError("x", 1, "")), HasSubstr("it said nothing"));
  EXPECT_THAT(Message(DockerError("x", 1, std::string(5000, 'a'))),
              Not(HasSubstr(std::string(700, 'a'))));
}

}  // namespace
}  // namespace tao::platforms
