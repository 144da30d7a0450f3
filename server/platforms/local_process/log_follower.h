#pragma once

// Reads a job's output.log (parent/protocol.h) from its tail on, over its rotations, to the end of
// the job. For one call and one thread; blocks in the calls that say so.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <string>
#include <vector>

#include "server/base/cancel.h"
#include "server/io/file.h"
#include "server/platforms/platform.h"

namespace tao::platforms {

class LogFollower {
 public:
  // Neither `sink` nor `cancel` may go before it. A line of more than 64 KiB is given in pieces.
  LogFollower(std::string folder, LogSink& sink, const base::CancelToken& cancel)
      : folder_(std::move(folder)), sink_(sink), cancel_(cancel) {}

  // Where to begin: the last `tail_lines` lines that are there now, -1 for all. NotFound: no log.
  absl::Status Open(int tail_lines);

  // What is there, to the end, the last line also without its end. OK too when the reader left.
  // DeadlineExceeded, Cancelled.
  absl::Status ReadToEnd(absl::Duration timeout);

  // That, and what comes until the job ends (or the reader leaves: OK). Cancelled.
  absl::Status Follow();

 private:
  // Reads what is there now; false when the reader left.
  absl::StatusOr<bool> ReadAvailable(absl::Duration deadline);
  // Whether the file that was read to its end has been exchanged, with the next one in file_ then.
  absl::StatusOr<bool> OpenNext();
  bool Give(std::string_view text);  // splits into lines; false when the reader left
  bool GiveRest();

  const std::string folder_;
  LogSink& sink_;
  const base::CancelToken& cancel_;
  io::UniqueFd file_;
  std::string line_;  // begun, and not ended yet
};

}  // namespace tao::platforms
