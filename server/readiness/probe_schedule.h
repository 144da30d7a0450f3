#pragma once

// When which service is probed (design: "Readiness"): at once on a change, then 1 s growing to 10
// s; READY every 30 s, and at once when an exchange failed; so many at a time and no more. Pure:
// the time comes in, as base::Clock::Monotonic. Externally synchronised.

#include <absl/time/time.h>

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "server/base/backoff.h"
#include "server/registry/service_record.h"

namespace tao::readiness {

struct ProberConfig {
  // Between two probes of a service that is not READY: from `first_interval`, growing, with jitter.
  absl::Duration first_interval = absl::Seconds(1);
  absl::Duration longest_interval = absl::Seconds(10);
  absl::Duration ready_interval = absl::Seconds(30);  // of a READY one
  absl::Duration timeout = absl::Seconds(5);  // of one probe, readiness and liveness together
  // Between two beginnings for one service, whatever asks for a probe "at once".
  absl::Duration shortest_interval = absl::Milliseconds(100);
  int max_concurrent = 64;  // probes in flight
};

class ProbeSchedule {
 public:
  explicit ProbeSchedule(const ProberConfig& config, uint32_t seed = std::random_device{}());

  // A service in a probed phase (IsProbed) is due at once when it is new, when its endpoint
  // changed, or when its phase changed by anything but the probe in flight; in any other phase it
  // is forgotten. A change of texts moves nothing.
  void OnChange(const registry::ServiceRecord& record, absl::Duration now);
  void OnExchangeFailed(std::string_view job_id, absl::Duration now);  // due at once

  struct Due {
    std::shared_ptr<const registry::ServiceRecord> record;
    // Whether to ask the platform whatever the container says; else only when it does not answer.
    // An exchange that failed on a READY service must not cost a call of the platform each time.
    bool ask_platform = true;
  };
  // The next that is due, if one more may be in flight. It is in flight until Finished.
  std::optional<Due> TakeDue(absl::Duration now);
  void Finished(const std::string& job_id, absl::Duration now);

  // When TakeDue will have something; InfiniteDuration: not before another call of this class.
  absl::Duration NextDue() const;
  // Whether it is still to be probed: a finding of one that was forgotten meanwhile is old news.
  bool Knows(std::string_view job_id) const;

 private:
  struct Job {
    std::shared_ptr<const registry::ServiceRecord> record;  // null: forgotten while in flight
    base::Backoff backoff;
    absl::Duration due = absl::InfiniteDuration();  // its entry in queue_; InfiniteDuration: none
    absl::Duration begun = -absl::InfiniteDuration();  // the last probe's beginning
    bool in_flight = false;
    bool again = false;        // once more, at once, when the one in flight is finished
    bool by_exchange = false;  // due only because an exchange failed
  };

  void ScheduleAtOnce(const std::string& job_id, Job& job, absl::Duration now, bool by_exchange);
  void SetDue(const std::string& job_id, Job& job, absl::Duration due);

  const ProberConfig config_;
  std::minstd_rand seeds_;
  base::Backoff ready_wait_;
  std::map<std::string, Job, std::less<>> jobs_;
  std::set<std::pair<absl::Duration, std::string>> queue_;  // by due
  int in_flight_ = 0;
};

}  // namespace tao::readiness
