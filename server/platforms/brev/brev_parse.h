#pragma once

// Pure: what the brev program, ssh -G and an instance's docker say -> our types.

#include <absl/status/statusor.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "server/platforms/platform.h"

namespace tao::platforms {

// One row of `brev ls --json`.
struct BrevInstance {
  std::string name, id;
  std::string status;        // brev's word: "RUNNING", "STOPPED", ...
  std::string build_status;  // "", "PENDING", "BUILDING", "COMPLETED" or "CREATE_FAILED"
  std::string shell_status;  // "READY" or "NOT READY"
  friend bool operator==(const BrevInstance&, const BrevInstance&) = default;
};

// The JSON of `brev ls --json`. Unavailable when it cannot be read: no answer is never an empty
// one.
absl::StatusOr<std::vector<BrevInstance>> ParseInstances(std::string_view output);

// The one that `id_or_name` means; an id wins over a name. nullopt: none. FailedPrecondition, with
// the ids, when several have the name.
absl::StatusOr<std::optional<BrevInstance>> FindInstance(const std::vector<BrevInstance>& all,
                                                         std::string_view id_or_name);

// What can be done with an instance.
enum class InstanceUse {
  kComing,    // it is being made or started; wait
  kUsable,    // asking it by ssh is worth while
  kStopped,   // or stopping: only its owner may start it, which costs money
  kFailed,    // could not be made
  kDeleting,  // nothing on it will be there again
  kUnknown,   // a word that this program does not know
};
InstanceUse UseOf(const BrevInstance& instance);

// "RUNNING", or "RUNNING (build BUILDING)".
std::string Describe(const BrevInstance& instance);

// What the instance alone says of the service on it; nullopt: its docker has to be asked.
// Unavailable for kUnknown.
absl::StatusOr<std::optional<PlatformState>> StateOnInstance(const BrevInstance& instance);

// One row of `brev search --json`.
struct BrevType {
  std::string type, gpu_name;
  int gpu_count = 0;
  double price_per_hour = 0;
};
absl::StatusOr<std::vector<BrevType>> ParseTypes(std::string_view output);

// The types to ask for, best first, `most` at most: those with the fewest GPUs that are enough, the
// cheapest first. FailedPrecondition when none has enough.
absl::StatusOr<std::vector<std::string>> ChooseTypes(std::vector<BrevType> types, int gpu_count,
                                                     size_t most);

// The long flags that a help text names, with their dashes.
std::set<std::string> ParseFlags(std::string_view help);

// What `ssh -G ALIAS` says of how an instance is reached.
struct SshAlias {
  std::string hostname;  // empty when `proxied`: there is no direct address then
  bool proxied = false;
};
// nullopt: ssh has no entry for `alias`.
std::optional<SshAlias> ParseSshAlias(std::string_view output, std::string_view alias);

// What a failure asks the driver to do, where it is not only an error.
enum class BrevFailure {
  kOther,
  kLoggedOut,
  kNotFound,  // no such instance: gone, for a delete
};

// One row: a text of brev, or of ssh to an instance, lower case, what it means and what to do.
struct BrevFailureRule {
  std::string_view text;
  BrevFailure kind;
  absl::StatusCode code;
  std::string_view advice;  // a sentence without its full stop
  bool whole_word = false;
};
const std::vector<BrevFailureRule>& BrevFailureRules();

BrevFailure BrevFailureOf(std::string_view words);

// The error for a brev that ended with `words` (of both its streams); `what` says what failed.
absl::Status BrevError(std::string_view what, std::string_view words);

// An error of io::RunSsh to `instance`, with brev's advice in place of ssh's where there is some.
absl::Status InstanceSshError(std::string_view instance, const absl::Status& error);

// For a docker on `instance` that ended with an error, as DockerError; what it says of registries
// is said for an instance.
absl::Status InstanceDockerError(std::string_view instance, std::string_view what, int exit_code,
                                 std::string_view words);

}  // namespace tao::platforms
