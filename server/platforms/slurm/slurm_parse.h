#pragma once

// Pure: what Slurm's programs say -> our types. Texts are of 20.11 to 24.05.

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/platforms/platform.h"

namespace tao::platforms {

// A job, as sbatch names it.
struct SlurmJobRef {
  std::string id;
  std::string cluster;  // of a federation; else empty
  friend bool operator==(const SlurmJobRef&, const SlurmJobRef&) = default;
};

// The output of commands that ran one after another on the login host, each in a section:
// "@@name", its lines, "@@rc N".
struct SlurmSection {
  std::string text;
  int exit_code = 0;
};
using SlurmSections = std::map<std::string, SlurmSection, std::less<>>;
SlurmSections ParseSections(std::string_view output);

// `sbatch --parsable`; nullopt when there is no id in it.
std::optional<SlurmJobRef> ParseSubmit(std::string_view output);

// What is known of one job.
struct SlurmJobFacts {
  std::string state;       // Slurm's word: "PENDING"
  std::string batch_host;  // where its script runs; empty before it has nodes
  std::string reason;      // why it waits, or how it ended
  std::string expected_start;
  int exit_code = 0, signal = 0;
};

// RenderStatus: nullopt = the controller knows no such job, nor does the accounting (if there is
// one). Unavailable = it could not be asked, or says nothing that can be understood.
absl::StatusOr<std::optional<SlurmJobFacts>> ParseStatus(const SlurmSections& sections);

// The table of states; nullopt for a word that is not in it.
std::optional<PlatformState::State> StateNamed(std::string_view word);
// Of a job that ParseStatus found (its state is in the table).
PlatformState ToPlatformState(const SlurmJobFacts& facts);

// RenderWatch's @@queue: "3 17"; empty when it cannot be told.
std::string QueuePosition(const SlurmSections& sections);
// For people: why a job waits, and what to do about it.
std::string DescribePending(const SlurmJobFacts& facts, std::string_view queue);

// What the script has printed of its port.
struct SlurmMarks {
  int port = 0;            // of the node; 0: it has not begun, or its log cannot be seen yet
  bool container = false;  // the image is there, and the service is being started
  bool taken = false;      // somebody else has the port
};
SlurmMarks ParseMarks(std::string_view lines);

// RenderFind, RenderFindOurs: id|name|state|comment, a line each.
struct SlurmNamedJob {
  SlurmJobRef job;
  std::string name, state, comment;
};
std::vector<SlurmNamedJob> ParseNamed(std::string_view lines);

// One row of `sinfo -o '%P|%a|%l|%G'`.
struct SlurmPartition {
  std::string name, available;
  absl::Duration time_limit = absl::InfiniteDuration();
  std::map<std::string, int> gpus;  // of a node, by type; "" where there is no type
};
std::vector<SlurmPartition> ParsePartitions(std::string_view lines);

// What a failure asks the driver to do, where it is not only an error.
enum class SlurmFailure {
  kOther,
  kMaybeSubmitted,  // the answer was lost; the job may exist
  kNoSuchJob,       // certainly not there
  kJobIsOver,       // scancel: it ends, or has ended
  kNoAccounting,    // sacct: there is no database
  kNoController,    // slurmctld cannot be asked
};

// One row: a text of ssh, Slurm, Pyxis or enroot, lower case, what it means and what to do.
struct SlurmFailureRule {
  std::string_view text;
  SlurmFailure kind;
  absl::StatusCode code;
  std::string_view advice;  // a sentence without its full stop; may be empty
};
const std::vector<SlurmFailureRule>& SlurmFailureRules();
// nullptr: no row fits.
const SlurmFailureRule* SlurmRuleFor(std::string_view words);
SlurmFailure SlurmFailureOf(std::string_view words);

// The error for a command that ended with `exit_code` and `words`; `what` says what failed.
absl::Status SlurmError(std::string_view what, int exit_code, std::string_view words);

// Why a job ended before it served, out of the last lines of its log: the line and its advice;
// empty when nothing in it is known.
std::string ExplainLog(std::string_view lines);

// One row: a job's reason to wait, by its beginning.
struct SlurmReasonRule {
  std::string_view reason;
  std::string_view advice;
};
const std::vector<SlurmReasonRule>& SlurmReasonRules();

}  // namespace tao::platforms
