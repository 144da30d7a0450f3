#include "server/lifecycle/operation_queue.h"

#include <cstdint>
#include <utility>

namespace tao::lifecycle {

OperationQueue::OperationQueue(int threads) : pool_(threads, SIZE_MAX) {}

OperationQueue::~OperationQueue() { Shutdown(); }

void OperationQueue::Post(std::string_view job_id, Operation operation) {
  const std::string id(job_id);
  {
    base::MutexLock lock(mutex_);
    if (shut_down_) return;
    Job& job = jobs_[id];
    job.waiting.push_back({std::make_shared<base::CancelToken>(), std::move(operation)});
    if (job.running != nullptr || job.waiting.size() > 1) return;  // RunNext is on its way already
  }
  pool_.Post([this, id] { RunNext(id); });
}

void OperationQueue::CancelCurrent(std::string_view job_id) {
  base::MutexLock lock(mutex_);
  const auto found = jobs_.find(job_id);
  if (found == jobs_.end()) return;
  if (found->second.running != nullptr) found->second.running->Cancel();
  for (const Entry& entry : found->second.waiting) entry.cancel->Cancel();
}

void OperationQueue::Shutdown() {
  base::MutexLock lock(mutex_);
  shut_down_ = true;
  for (auto& [id, job] : jobs_) {
    if (job.running != nullptr) job.running->Cancel();
    job.waiting.clear();
  }
}

void OperationQueue::WaitIdle(std::string_view job_id) {
  base::MutexLock lock(mutex_);
  while (true) {
    const auto found = jobs_.find(job_id);
    if (found == jobs_.end()) return;
    idle_.Wait(mutex_);
  }
}

void OperationQueue::RunNext(const std::string& job_id) {
  Entry entry;
  {
    base::MutexLock lock(mutex_);
    Job& job = jobs_[job_id];
    if (job.waiting.empty()) {  // Shutdown emptied it
      jobs_.erase(job_id);
      idle_.SignalAll();
      return;
    }
    entry = std::move(job.waiting.front());
    job.waiting.pop_front();
    job.running = entry.cancel;
  }
  entry.operation(*entry.cancel);
  bool more = false;
  {
    base::MutexLock lock(mutex_);
    Job& job = jobs_[job_id];
    job.running = nullptr;
    more = !job.waiting.empty();
    if (!more) {
      jobs_.erase(job_id);
      idle_.SignalAll();
    }
  }
  if (more) pool_.Post([this, job_id] { RunNext(job_id); });
}

}  // namespace tao::lifecycle
