#pragma once

// Pure: what the brev program is called with, and the one string that an instance's shell runs.

#include <absl/status/statusor.h>

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/secret.h"
#include "server/io/ssh.h"

namespace tao::platforms {

// An instance to make.
struct BrevCreate {
  std::string name;
  std::string types;             // "T1,T2": the first that can be had
  std::string workspace_group;   // empty: not said
  std::string cloud_credential;  // empty: not said
};

// The arguments of brev, as far as this brev has the flags (ParseFlags of its create --help).
// FailedPrecondition: it lacks one that is needed.
absl::StatusOr<std::vector<std::string>> RenderCreate(const BrevCreate& create,
                                                      const std::set<std::string>& flags);

// How to reach instance `name` by ssh with the configuration that brev writes: without its
// terminal, its agent forwarding and its shared connections, which hold pipes open and lend our
// keys.
io::SshTarget InstanceTarget(const std::string& name, const std::string& config_file);

// `docker ARGUMENTS` for a shell.
std::string DockerCommand(const std::vector<std::string>& arguments);

// Inspects every container of `daemon_id`, for ParseContainers; none is no error.
std::string InspectOursCommand(std::string_view daemon_id);

// `docker run` with the variables that stand in its stdin: RenderPreamble's, exported and handed to
// the container by name, so that no argument list on either side has a value.
std::string RunCommand(const std::vector<std::string>& run_arguments);
// NAME=VALUE lines and an empty one. InvalidArgument for a value with a line end, which no line can
// hold.
absl::StatusOr<std::string> RenderPreamble(const std::map<std::string, base::Secret>& secrets);

// Pulls `image`. With `login` first logs in to `registry` with the key on stdin, in a docker
// configuration of this job alone that is removed again: the instance's own logins stay as they
// are, and the key does not stay there.
std::string PullCommand(const std::string& image, bool login, const std::string& job_id);
// Removes what a PullCommand that was cut off has left.
std::string LogoutCommand(const std::string& job_id);

inline constexpr std::string_view kNgcRegistry = "nvcr.io";

}  // namespace tao::platforms
