#pragma once

// Everything the daemon knows of one service, as it stands in the state directory. Plain data.

#include <absl/time/time.h>

#include <map>
#include <string>
#include <vector>

#include "server/registry/step.h"
#include "server/routing/phase.h"

namespace tao::registry {

// What the container (or a pull) says of its progress.
struct Progress {
  std::string stage;    // the container's stage, or "pulling_image"
  std::string message;  // for people
  friend bool operator==(const Progress&, const Progress&) = default;
};

// Step begun and not finished; survives the process.
struct JournalEntry {
  Operation operation = Operation::kNone;
  Step step = Step::kNone;
  bool done = false;  // the step was finished; the next one was not begun
};

struct ServiceRecord {
  // Identity; never changes.
  std::string job_id;
  std::string network_arch;
  std::string platform;
  bool foreign = false;    // an entry of another tool: we route to it, and did not start it
  std::string request_id;  // of Start; empty: none
  std::string
      request_fingerprint;  // of Start's parameters: the same request_id with others is refused
  std::string image;
  std::string model_path;
  std::string model_path_kind;  // "file" or "folder"
  std::vector<std::string> served_names;
  std::vector<std::string> sampling_fields;  // of a chat request, as its arch takes them
  std::string gpu_mode;                      // "auto", "device", "tegra" or "none"
  absl::Time created_at = absl::InfinitePast();
  absl::Duration progress_timeout = absl::ZeroDuration();
  absl::Duration startup_timeout = absl::ZeroDuration();
  bool keep_failed = false;

  // Leases; held from kAccept to kRelease.
  int host_port = 0;      // of this host; 0: none
  int instance_port = 0;  // of instance_id; 0: none
  std::vector<std::string> gpu_ids;

  // Endpoint; empty before kConfirm.
  std::string host_url;    // "http://localhost:8081"
  std::string docker_url;  // "http://JOB_ID:8080", container platforms only
  std::string platform_job_id, slurm_node, instance_id;
  // The registry file carries it: set by the journal together with kPublish, cleared with
  // kUnpublish.
  bool published = false;

  // Life.
  routing::Phase phase = routing::Phase::kLaunching;
  std::string
      reason;  // stable word: the container's (model_loading), or ours (exited, start_timeout)
  std::string message;  // for people, with what to do next when it is FAILED
  Progress progress;
  absl::Time phase_since = absl::InfinitePast();
  absl::Time started_at = absl::InfinitePast();  // the platform confirmed that it runs
  absl::Time progress_since =
      absl::InfinitePast();  // last change of phase or progress, from STARTING on
  absl::Time ready_at = absl::InfiniteFuture();  // first READY: ends the start-up limits
  absl::Time ended_at = absl::InfiniteFuture();  // FAILED or STOPPED
  std::vector<std::string> last_log_lines;       // of a FAILED service, secrets redacted

  JournalEntry journal;
  // The driver's own: what it needs to find and stop the job again (pids, tunnel ports, names).
  std::map<std::string, std::string> driver_state;

  // Grows with every change; WatchReadiness and the route table order by it. Counted anew by each
  // process, and not in the state directory.
  uint64_t revision = 0;
};

}  // namespace tao::registry
