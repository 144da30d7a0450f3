#include "gateway/metrics.h"

#include <algorithm>

namespace tao::gateway {
namespace {

template <typename Numbers>
void AddEach(Numbers& to, const Numbers& from) {
  for (size_t i = 0; i < to.size(); ++i) to[i] += from[i];
}

}  // namespace

void AnswerCounts::Count(int code, std::optional<base::ErrorToken> token, uint64_t times) {
  for (Entry& entry : entries_) {
    if (entry.code == code && entry.token == token) {
      entry.count += times;
      return;
    }
  }
  entries_.push_back({code, token, times});
}

void AnswerCounts::Add(const AnswerCounts& other) {
  for (const Entry& entry : other.entries_) Count(entry.code, entry.token, entry.count);
}

void ServiceMetrics::Count(const ExchangeEnd& end, const ExchangeTimes& times) {
  answers.Count(end.code, end.token);
  duration.Observe(end.duration);
  if (times.answered != 0) first_byte.Observe(times.answered - times.begun);
  ++streams[static_cast<size_t>(end.stream)];
  if (times.events.first != 0) first_event.Observe(times.events.first - times.begun);
  gaps.Add(times.events.gaps);
  events += times.events.count;
  body_bytes += end.body_bytes;
  answer_bytes += end.answer_bytes;
  ++broken[static_cast<size_t>(end.stage)][static_cast<size_t>(end.closed_by)];
}

void ServiceMetrics::Add(const ServiceMetrics& other) {
  answers.Add(other.answers);
  duration.Add(other.duration);
  first_byte.Add(other.first_byte);
  AddEach(streams, other.streams);
  first_event.Add(other.first_event);
  gaps.Add(other.gaps);
  events += other.events;
  body_bytes += other.body_bytes;
  answer_bytes += other.answer_bytes;
  for (size_t stage = 0; stage < kStages; ++stage) AddEach(broken[stage], other.broken[stage]);
  in_flight += other.in_flight;
}

void WorkerMetrics::Count(const ExchangeEnd& end, const ExchangeTimes& times,
                          const routing::RouteTable& table) {
  if (times.answered != 0) overhead.Observe(times.Overhead());
  if (end.service == nullptr) return unrouted.Count(end, times);
  auto found = services.find(end.service->job_id);
  if (found == services.end()) {
    if (table.Find(end.service->job_id) == nullptr) return;
    found = services.try_emplace(end.service->job_id).first;
  }
  found->second.Count(end, times);
}

void WorkerMetrics::Retain(const routing::RouteTable& table) {
  absl::erase_if(services,
                 [&table](const auto& entry) { return table.Find(entry.first) == nullptr; });
}

void WorkerMetrics::Add(const WorkerMetrics& other) {
  for (const auto& [job_id, counted] : other.services) services[job_id].Add(counted);
  unrouted.Add(other.unrouted);
  for (size_t i = 0; i < kEndpoints; ++i) others[i].Add(other.others[i]);
  overhead.Add(other.overhead);
  connections_accepted += other.connections_accepted;
  upstream_opened += other.upstream_opened;
  upstream_reused += other.upstream_reused;
  connections += other.connections;
  upstream_idle += other.upstream_idle;
  AddEach(exchanges, other.exchanges);
}

}  // namespace tao::gateway
