#include "server/platforms/local_process/log_follower.h"

#include <absl/strings/str_format.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "server/base/clock.h"
#include "server/base/status.h"
#include "server/io/errno_status.h"
#include "server/platforms/local_process/job_folder_view.h"
#include "server/platforms/local_process/parent/protocol.h"

namespace tao::platforms {
namespace {

using process_parent::kLogFile;
using process_parent::kOlderLogFile;

constexpr size_t kLongestLine = 64 << 10;
constexpr size_t kBlockBytes = 64 << 10;

// Invalid, with errno, when there is none.
io::UniqueFd OpenLog(const std::string& folder, const char* name) {
  return io::UniqueFd(open((folder + "/" + name).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
}

bool IsSameFile(int a, int b) {
  struct stat first = {}, second = {};
  return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_ino == second.st_ino &&
         first.st_dev == second.st_dev;
}

// Where the last `lines` lines of the file begin; with fewer of them 0, and `lines` is how many are
// missing. A last line without its end counts.
off_t TailStart(int fd, int& lines) {
  struct stat info = {};
  if (fstat(fd, &info) != 0) return 0;
  std::string block;
  off_t end = info.st_size;
  while (end > 0) {
    const off_t begin = std::max<off_t>(0, end - static_cast<off_t>(kBlockBytes));
    block.resize(static_cast<size_t>(end - begin));
    const ssize_t got = pread(fd, block.data(), block.size(), begin);
    if (got < 0) return 0;
    block.resize(static_cast<size_t>(got));
    for (size_t i = block.size(); i > 0; --i) {
      const off_t after = begin + static_cast<off_t>(i);
      // A line end ends the line before it; the one at the very end of the file begins none.
      if (block[i - 1] != '\n' || after == info.st_size) continue;
      if (--lines == 0) return after;
    }
    end = begin;
  }
  if (info.st_size > 0) --lines;
  return 0;
}

}  // namespace

absl::Status LogFollower::Open(int tail_lines) {
  file_ = OpenLog(folder_, kLogFile);
  // In this order: if the files are exchanged in between, both are the same one.
  io::UniqueFd older = OpenLog(folder_, kOlderLogFile);
  // Between its two names, if there is none: the older one is what it was.
  if (!file_.valid()) file_ = std::exchange(older, io::UniqueFd());
  if (!file_.valid()) return io::ErrnoStatus(errno, "open " + folder_ + "/" + kLogFile);

  int lines = tail_lines;
  off_t start = 0;
  if (tail_lines == 0) {
    start = lseek(file_.get(), 0, SEEK_END);
  } else if (tail_lines > 0) {
    start = TailStart(file_.get(), lines);
  }
  const bool wants_older = tail_lines < 0 || (tail_lines > 0 && lines > 0 && start == 0);
  if (wants_older && older.valid() && !IsSameFile(older.get(), file_.get())) {
    file_ = std::move(older);
    start = tail_lines < 0 ? 0 : TailStart(file_.get(), lines);
  }
  if (lseek(file_.get(), start, SEEK_SET) < 0) return io::ErrnoStatus(errno, "seek in " + folder_);
  return absl::OkStatus();
}

absl::Status LogFollower::ReadToEnd(absl::Duration timeout) {
  ASSIGN_OR_RETURN(const bool wants_more, ReadAvailable(base::RealClock().Monotonic() + timeout));
  if (wants_more) GiveRest();
  return absl::OkStatus();
}

absl::Status LogFollower::Follow() {
  const io::UniqueFd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify.valid()) {
    return io::ErrnoStatus(errno, "inotify_init1 (fs.inotify.max_user_instances)");
  }
  if (inotify_add_watch(inotify.get(), folder_.c_str(),
                        IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF) < 0) {
    return io::ErrnoStatus(errno, "watch " + folder_ + " (fs.inotify.max_user_watches)");
  }
  io::UniqueFd parent;  // readable when the parent has ended: it may be killed without a last word
  while (true) {
    // Looked at before the log is read: what ended has written all of it.
    ASSIGN_OR_RETURN(const JobFiles job, LookAtJob(folder_));
    const bool ended = job.exit.has_value() || !job.locked;
    ASSIGN_OR_RETURN(const bool wants_more, ReadAvailable(absl::InfiniteDuration()));
    if (!wants_more) return absl::OkStatus();
    if (ended) {
      GiveRest();
      return absl::OkStatus();
    }
    if (!parent.valid() && job.parent.has_value()) parent = OpenParent(*job.parent);
    pollfd polled[] = {{.fd = inotify.get(), .events = POLLIN, .revents = 0},
                       {.fd = cancel_.fd(), .events = POLLIN, .revents = 0},
                       {.fd = parent.get(), .events = POLLIN, .revents = 0}};
    // Without the parent's descriptor it has just begun, or just ended: look again soon.
    if (poll(polled, std::size(polled), parent.valid() ? -1 : 100) > 0) {
      alignas(inotify_event) char events[4096];
      while (read(inotify.get(), events, sizeof(events)) > 0) {
      }
    }
  }
}

absl::StatusOr<bool> LogFollower::ReadAvailable(absl::Duration deadline) {
  std::string block(kBlockBytes, '\0');
  while (true) {
    if (cancel_.cancelled()) return absl::CancelledError("reading the logs was cancelled");
    if (base::RealClock().Monotonic() > deadline) {
      return absl::DeadlineExceededError("reading the logs took too long");
    }
    const ssize_t got = read(file_.get(), block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return io::ErrnoStatus(errno, "read the logs in " + folder_);
    if (got > 0) {
      if (!Give({block.data(), static_cast<size_t>(got)})) return false;
      continue;
    }
    ASSIGN_OR_RETURN(const bool has_next, OpenNext());
    if (!has_next) return true;
  }
}

absl::StatusOr<bool> LogFollower::OpenNext() {
  struct stat info = {};
  if (fstat(file_.get(), &info) != 0) return io::ErrnoStatus(errno, "look at the logs");
  if (lseek(file_.get(), 0, SEEK_CUR) < info.st_size) return true;  // it has grown
  // Not ours any more by either name: exchanged twice, so the one after ours is the older one now.
  io::UniqueFd next = OpenLog(folder_, info.st_nlink == 0 ? kOlderLogFile : kLogFile);
  if (!next.valid()) return false;  // between two names, or the job was removed
  if (IsSameFile(next.get(), file_.get())) return false;
  // It was exchanged, perhaps after the read that found its end: nothing is added to it from here
  // on.
  struct stat again = {};
  if (fstat(file_.get(), &again) == 0 && lseek(file_.get(), 0, SEEK_CUR) < again.st_size) {
    return true;
  }
  file_ = std::move(next);
  return true;
}

bool LogFollower::Give(std::string_view text) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const size_t piece = std::min({end, text.size(), kLongestLine - line_.size()});
    line_.append(text.substr(0, piece));
    text.remove_prefix(piece);
    const bool at_end = !text.empty() && text.front() == '\n';
    if (at_end) text.remove_prefix(1);
    if (!at_end && line_.size() < kLongestLine) return true;
    const std::string line = std::exchange(line_, "");
    if (!sink_.OnLine(line)) return false;
  }
  return true;
}

bool LogFollower::GiveRest() {
  const std::string line = std::exchange(line_, "");
  return line.empty() || sink_.OnLine(line);
}

}  // namespace tao::platforms
