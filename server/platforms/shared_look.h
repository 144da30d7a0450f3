#pragma once

// One question that tells of many jobs (all instances, all containers of a host), asked once for
// all who want to know of theirs. It is asked on a thread of its own, so that an answer that does
// not come holds nobody for long: whoever observes jobs has few threads, for all platforms.

#include <absl/status/statusor.h>
#include <absl/strings/str_format.h>
#include <absl/time/time.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "server/base/cancel.h"
#include "server/base/clock.h"
#include "server/base/mutex.h"

namespace tao::platforms {

struct SharedLookOptions {
  // How old good news may be. They serve each asker once: who asks again at once has a reason to.
  absl::Duration fresh = absl::Seconds(10);
  // How long a look is waited for, from its beginning.
  absl::Duration patience = absl::Seconds(3);
  // What came too late for an asker is kept for it, for so long.
  absl::Duration kept = absl::Minutes(1);
};

// Thread-safe. Destroying it cancels a look that is under way, and waits for its end; nobody may be
// inside Get.
template <typename Answer>
class SharedLook {
 public:
  using Look = std::function<absl::StatusOr<Answer>(const base::CancelToken& cancel)>;

  // `what` is asked, for errors: "brev ls".
  SharedLook(std::string what, Look look, SharedLookOptions options)
      : what_(std::move(what)), look_(std::move(look)), options_(options) {}
  ~SharedLook() {
    cancel_.Cancel();
    if (thread_.joinable()) thread_.join();
  }

  // What `is_good` accepts (the job runs), and an error, may be of a look that began before the
  // call; everything else is of one that began after it, since a job may have come to be just now.
  // Unavailable: no answer came in time. Blocks for twice `patience` at most.
  absl::StatusOr<std::shared_ptr<const Answer>> Get(
      const std::string& who, const std::function<bool(const Answer&)>& is_good) {
    base::MutexLock lock(mutex_);
    const absl::Duration begun = clock_.Monotonic();
    const auto late = owed_.find(who);
    const bool is_owed = late != owed_.end() && late->second + options_.kept > begun;
    const absl::Duration since = is_owed ? late->second : begun;
    while (true) {
      const absl::Duration now = clock_.Monotonic();
      if (Serves(who, since, now, is_good)) {
        served_.insert(who);
        owed_.erase(who);
        return *answer_;
      }
      if (!looking_) Begin(now);
      const absl::Duration left = began_ + options_.patience - now;
      if (left <= absl::ZeroDuration()) break;
      changed_.WaitWithTimeout(mutex_, left);
    }
    std::erase_if(owed_, [&](const auto& each) { return each.second + options_.kept <= begun; });
    owed_.emplace(who, since);
    return absl::UnavailableError(absl::StrFormat(
        "%s has not answered for %s", what_,
        absl::FormatDuration(absl::Trunc(clock_.Monotonic() - began_, absl::Milliseconds(100)))));
  }

 private:
  using Result = absl::StatusOr<std::shared_ptr<const Answer>>;

  bool Serves(const std::string& who, absl::Duration since, absl::Duration now,
              const std::function<bool(const Answer&)>& is_good) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!answer_.has_value()) return false;
    if (answered_began_ >= since && answered_ + options_.kept > now) return true;
    if (answered_ + options_.fresh <= now || served_.contains(who)) return false;
    return !answer_->ok() || is_good(***answer_);
  }

  void Begin(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (thread_.joinable()) thread_.join();  // the look before, which has ended
    looking_ = true;
    began_ = now;
    thread_ = std::thread([this, now] {
      absl::StatusOr<Answer> found = look_(cancel_);
      base::MutexLock lock(mutex_);
      answer_ = found.ok() ? Result(std::make_shared<const Answer>(*std::move(found)))
                           : Result(found.status());
      answered_began_ = now;
      answered_ = clock_.Monotonic();
      served_.clear();
      looking_ = false;
      changed_.SignalAll();
    });
  }

  const std::string what_;
  const Look look_;
  const SharedLookOptions options_;
  const base::Clock& clock_ = base::RealClock();
  base::CancelToken cancel_;

  base::Mutex mutex_;
  base::CondVar changed_;
  bool looking_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Duration began_ ABSL_GUARDED_BY(mutex_);  // the last look
  std::optional<Result> answer_ ABSL_GUARDED_BY(mutex_);
  absl::Duration answered_began_ ABSL_GUARDED_BY(mutex_);  // the look that has the answer
  absl::Duration answered_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string, std::less<>> served_ ABSL_GUARDED_BY(mutex_);  // with this answer
  // Who left without an answer, and since when an answer is one for it.
  std::map<std::string, absl::Duration, std::less<>> owed_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;  // joined under the mutex by Begin: it has let go of it for good by then
};

}  // namespace tao::platforms
