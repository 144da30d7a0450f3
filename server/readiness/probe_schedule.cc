#include "server/readiness/probe_schedule.h"

#include <algorithm>

#include "server/readiness/phase_machine.h"

namespace tao::readiness {
namespace {

bool SameEndpoint(const registry::ServiceRecord& a, const registry::ServiceRecord& b) {
  return a.host_url == b.host_url && a.docker_url == b.docker_url && a.host_port == b.host_port &&
         a.driver_state == b.driver_state;
}

}  // namespace

ProbeSchedule::ProbeSchedule(const ProberConfig& config, uint32_t seed)
    : config_(config),
      seeds_(seed),
      ready_wait_({.first = config.ready_interval, .longest = config.ready_interval, .jitter = 0.1},
                  static_cast<uint32_t>(seeds_())) {}

void ProbeSchedule::OnChange(const registry::ServiceRecord& record, absl::Duration now) {
  const auto found = jobs_.find(record.job_id);
  if (!IsProbed(record.phase)) {
    if (found == jobs_.end()) return;
    SetDue(found->first, found->second, absl::InfiniteDuration());
    if (found->second.in_flight) {
      found->second.record = nullptr;
      found->second.again = false;
    } else {
      jobs_.erase(found);
    }
    return;
  }

  if (found == jobs_.end() || found->second.record == nullptr) {
    const base::BackoffOptions backoff{.first = config_.first_interval,
                                       .longest = config_.longest_interval};
    const auto place =
        found != jobs_.end()
            ? found
            : jobs_
                  .emplace(record.job_id,
                           Job{.backoff = base::Backoff(backoff, static_cast<uint32_t>(seeds_()))})
                  .first;
    Job& job = place->second;
    job.record = std::make_shared<const registry::ServiceRecord>(record);
    job.backoff.Reset();
    ScheduleAtOnce(record.job_id, job, now, /*by_exchange=*/false);
    return;
  }

  Job& job = found->second;
  const bool other_endpoint = !SameEndpoint(*job.record, record);
  const bool other_phase = job.record->phase != record.phase;
  job.record = std::make_shared<const registry::ServiceRecord>(record);
  if (other_endpoint || other_phase) job.backoff.Reset();
  // While a probe is in flight a new phase is what that probe found: nothing more to ask at once.
  if (other_endpoint || (other_phase && !job.in_flight)) {
    ScheduleAtOnce(record.job_id, job, now, /*by_exchange=*/false);
  }
}

void ProbeSchedule::OnExchangeFailed(std::string_view job_id, absl::Duration now) {
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end() || found->second.record == nullptr) return;
  ScheduleAtOnce(found->first, found->second, now, /*by_exchange=*/true);
}

std::optional<ProbeSchedule::Due> ProbeSchedule::TakeDue(absl::Duration now) {
  if (NextDue() > now) return std::nullopt;
  const std::string job_id = queue_.begin()->second;
  Job& job = jobs_.find(job_id)->second;
  SetDue(job_id, job, absl::InfiniteDuration());
  job.in_flight = true;
  job.begun = now;
  ++in_flight_;
  const bool ready = job.record->phase == routing::Phase::kReady;
  return Due{.record = job.record, .ask_platform = !(ready && job.by_exchange)};
}

void ProbeSchedule::Finished(const std::string& job_id, absl::Duration now) {
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end() || !found->second.in_flight) return;
  --in_flight_;
  Job& job = found->second;
  job.in_flight = false;
  if (job.record == nullptr) {
    jobs_.erase(found);
    return;
  }
  if (job.again) {
    job.again = false;
    ScheduleAtOnce(job_id, job, now, job.by_exchange);
    return;
  }
  job.by_exchange = false;
  const bool ready = job.record->phase == routing::Phase::kReady;
  SetDue(job_id, job, now + (ready ? ready_wait_.Next() : job.backoff.Next()));
}

absl::Duration ProbeSchedule::NextDue() const {
  if (in_flight_ >= config_.max_concurrent || queue_.empty()) return absl::InfiniteDuration();
  return queue_.begin()->first;
}

bool ProbeSchedule::Knows(std::string_view job_id) const {
  const auto found = jobs_.find(job_id);
  return found != jobs_.end() && found->second.record != nullptr;
}

void ProbeSchedule::ScheduleAtOnce(const std::string& job_id, Job& job, absl::Duration now,
                                   bool by_exchange) {
  // A better reason that stands already is not taken back.
  const bool stands = job.again || job.due <= now + config_.shortest_interval;
  job.by_exchange = by_exchange && (!stands || job.by_exchange);
  if (job.in_flight) {
    job.again = true;
    return;
  }
  SetDue(job_id, job, std::min(job.due, std::max(now, job.begun + config_.shortest_interval)));
}

void ProbeSchedule::SetDue(const std::string& job_id, Job& job, absl::Duration due) {
  if (job.due != absl::InfiniteDuration()) queue_.erase({job.due, job_id});
  job.due = due;
  if (due != absl::InfiniteDuration()) queue_.emplace(due, job_id);
}

}  // namespace tao::readiness
