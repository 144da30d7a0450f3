#include "server/registry/registry_file_sync.h"

#include <absl/strings/str_format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "server/base/backoff.h"
#include "server/base/log.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/io/file.h"
#include "server/registry/folder_watch.h"
#include "server/registry/registry_file.h"
#include "server/registry/registry_file_plan.h"

namespace tao::registry {
namespace {

constexpr absl::Duration kKeepDropped = absl::Hours(24);

std::pair<std::string, std::string> SplitPath(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace

// The thread and what it alone uses.
class RegistryFileSync::Worker {
 public:
  explicit Worker(RegistryFileSync& sync)
      : sync_(sync), file_(sync.path_), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  absl::Status Start(ForeignEntryListener& listener);
  void Stop();
  void Wake() {
    // Fails only when it is awake 2^64 times already.
    static_cast<void>(eventfd_write(wake_.get(), 1));
  }

 private:
  void Run();
  void Wait();
  absl::Status Pass();
  SyncKnowledge Know(uint64_t& generation);
  void Share(const SyncPlan& plan);
  void TellCallers(uint64_t generation, const absl::Status& status);
  void Report(const SyncPlan& plan);
  void LogOutcome(const absl::Status& status);

  RegistryFileSync& sync_;
  RegistryFile file_;
  FolderWatch watch_;
  io::UniqueFd wake_;
  ForeignEntryListener* listener_ = nullptr;
  std::set<std::string, std::less<>> in_file_;  // SyncKnowledge::in_file
  std::map<std::string, FileEntry> foreign_;    // as the listener knows them
  std::map<std::string, std::string> refused_;  // foreign entries that cannot be routed: why
  base::Backoff backoff_{{.first = absl::Seconds(1), .longest = absl::Seconds(30)}};
  std::optional<absl::Duration> retry_at_;  // by the monotonic clock
  std::string last_error_;                  // logged already
  std::thread thread_;
};

absl::Status RegistryFileSync::Worker::Start(ForeignEntryListener& listener) {
  if (!wake_.valid()) return absl::ResourceExhaustedError("eventfd: no file descriptor is left");
  listener_ = &listener;
  const auto [folder, name] = SplitPath(file_.path());
  // Before the first look, so that no change falls in between.
  RETURN_IF_ERROR(watch_.Watch(folder, name));
  const absl::Status first = Pass();
  if (absl::IsFailedPrecondition(first) || absl::IsNotFound(first)) return first;
  LogOutcome(first);
  {
    const base::MutexLock lock(sync_.mutex_);
    sync_.running_ = true;
  }
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void RegistryFileSync::Worker::Stop() {
  if (!thread_.joinable()) return;
  {
    const base::MutexLock lock(sync_.mutex_);
    sync_.running_ = false;
  }
  Wake();
  thread_.join();
}

void RegistryFileSync::Worker::Run() {
  while (true) {
    Wait();
    const bool changed = watch_.TakeEvents();
    eventfd_t ignored = 0;
    static_cast<void>(eventfd_read(wake_.get(), &ignored));
    const bool retry = retry_at_.has_value() && *retry_at_ <= sync_.clock_.Monotonic();
    bool requested = false;
    bool running = false;
    {
      const base::MutexLock lock(sync_.mutex_);
      requested = sync_.requested_ != sync_.done_;
      running = sync_.running_;
    }
    if (changed || retry || requested) LogOutcome(Pass());
    if (!running) break;
  }
  const base::MutexLock lock(sync_.mutex_);
  sync_.ended_ = true;
  sync_.passed_.SignalAll();
}

void RegistryFileSync::Worker::Wait() {
  pollfd fds[] = {{.fd = wake_.get(), .events = POLLIN, .revents = 0},
                  {.fd = watch_.lost() ? -1 : watch_.fd(), .events = POLLIN, .revents = 0}};
  int timeout_ms = -1;
  if (retry_at_.has_value()) {
    const absl::Duration left = *retry_at_ - sync_.clock_.Monotonic();
    timeout_ms = static_cast<int>(absl::ToInt64Milliseconds(
                     std::clamp(left, absl::ZeroDuration(), absl::Minutes(1)))) +
                 1;
  }
  poll(fds, 2, timeout_ms);
}

absl::Status RegistryFileSync::Worker::Pass() {
  uint64_t generation = 0;
  const SyncKnowledge known = Know(generation);
  SyncPlan plan;
  bool looked = false;
  const auto decide = [&](const RegistryFile::Reading& reading) {
    looked = true;
    plan = PlanSync(reading, known);
    return plan.write;
  };
  const auto look_and_write = [&]() -> absl::Status {
    if (watch_.lost()) {
      const auto [folder, name] = SplitPath(file_.path());
      RETURN_IF_ERROR(watch_.Watch(folder, name));
    }
    // Most passes find the file as it should be; those take no lock.
    const absl::StatusOr<RegistryFile::Reading> reading = file_.Read();
    if (!reading.ok() && !absl::IsInvalidArgument(reading.status())) return reading.status();
    if (reading.ok() && !decide(*reading).has_value()) return absl::OkStatus();
    return file_.Change(decide);
  };
  const absl::Status status = look_and_write();
  if (looked) {
    in_file_.clear();
    for (const std::string& job_id : status.ok() ? plan.ours : plan.present)
      in_file_.insert(job_id);
    Share(plan);
  }
  // Before callers are told: the wait for the next try counts from the failure they hear of.
  if (status.ok()) {
    retry_at_.reset();
    backoff_.Reset();
  } else {
    retry_at_ = sync_.clock_.Monotonic() + backoff_.Next();
  }
  TellCallers(generation, status);
  if (looked) Report(plan);
  return status;
}

SyncKnowledge RegistryFileSync::Worker::Know(uint64_t& generation) {
  SyncKnowledge known;
  known.in_file = in_file_;
  std::set<std::string> dropped;
  {
    const absl::Time now = sync_.clock_.Now();
    const base::MutexLock lock(sync_.mutex_);
    generation = sync_.requested_;
    known.published = sync_.published_;
    known.vanished = sync_.vanished_;
    std::erase_if(sync_.dropped_, [now](const auto& item) { return item.second <= now; });
    for (const auto& [job_id, until] : sync_.dropped_) dropped.insert(job_id);
  }
  known.is_withdrawn = [this, dropped = std::move(dropped)](const std::string& job_id) {
    if (dropped.contains(job_id)) return true;
    const std::optional<ServiceRecord> record = sync_.registry_.Find(job_id);
    return record.has_value() && !record->foreign;  // ours, and not published
  };
  return known;
}

void RegistryFileSync::Worker::Share(const SyncPlan& plan) {
  std::map<std::string, std::set<int>> ports;
  for (const RawMember& member : plan.foreign) {
    const FileEntry entry = ReadEntry(member);
    ports[""].merge(PortsOnThisHost(entry));
    if (!entry.instance_id.empty()) ports[entry.instance_id].insert(entry.host_port);
  }
  const base::MutexLock lock(sync_.mutex_);
  sync_.foreign_ports_ = std::move(ports);
  for (const std::string& job_id : plan.present) sync_.vanished_.erase(job_id);
  for (const std::string& job_id : plan.newly_vanished) {
    if (sync_.published_.contains(job_id)) sync_.vanished_.insert(job_id);
  }
}

void RegistryFileSync::Worker::TellCallers(uint64_t generation, const absl::Status& status) {
  const base::MutexLock lock(sync_.mutex_);
  sync_.done_ = generation;
  sync_.pass_code_ = status.code();
  sync_.pass_message_ = std::string(status.message());
  sync_.passed_.SignalAll();
}

void RegistryFileSync::Worker::Report(const SyncPlan& plan) {
  std::map<std::string, FileEntry> found;
  std::map<std::string, std::string> refused;
  for (const RawMember& member : plan.foreign) {
    absl::StatusOr<FileEntry> entry = CheckedEntry(member);
    if (entry.ok()) {
      found.emplace(member.name, *std::move(entry));
      continue;
    }
    std::string why(entry.status().message());
    if (const auto before = refused_.find(member.name);
        before == refused_.end() || before->second != why) {
      base::Log(base::LogLevel::kWarning, "registry",
                "an entry of another tool is kept in the registry file, and cannot be routed to",
                {{"file", file_.path()}, {"error", why}});
    }
    refused.emplace(member.name, std::move(why));
  }
  refused_ = std::move(refused);
  const std::map<std::string, FileEntry> before = std::exchange(foreign_, std::move(found));
  for (const auto& [job_id, entry] : before) {
    if (!foreign_.contains(job_id)) listener_->OnForeignEntryGone(job_id);
  }
  for (const auto& [job_id, entry] : foreign_) {
    const auto known = before.find(job_id);
    if (known == before.end() || known->second != entry) listener_->OnForeignEntry(entry);
  }
  for (const std::string& job_id : plan.newly_vanished) {
    base::Log(base::LogLevel::kWarning, "registry",
              "another tool removed the registry entry of a service of ours; asking its platform",
              {{"job_id", job_id}});
    listener_->OnOurEntryVanished(job_id);
  }
}

void RegistryFileSync::Worker::LogOutcome(const absl::Status& status) {
  std::string error = status.ok() ? "" : status.ToString();
  if (error == last_error_) return;
  if (status.ok()) {
    base::Log(base::LogLevel::kInfo, "registry", "the registry file is in step again",
              {{"file", file_.path()}});
  } else {
    base::Log(base::LogLevel::kError, "registry",
              "the registry file could not be kept in step; trying again",
              {{"file", file_.path()}, {"error", error}});
  }
  last_error_ = std::move(error);
}

RegistryFileSync::RegistryFileSync(std::string path, const Registry& registry,
                                   const base::Clock& clock)
    : path_(std::move(path)),
      registry_(registry),
      clock_(clock),
      worker_(std::make_unique<Worker>(*this)) {}

RegistryFileSync::~RegistryFileSync() { Stop(); }

absl::Status RegistryFileSync::Start(ForeignEntryListener& listener) {
  return worker_->Start(listener);
}

void RegistryFileSync::Stop() { worker_->Stop(); }

absl::Status RegistryFileSync::PublishNow(std::string_view job_id) {
  {
    const base::MutexLock lock(mutex_);
    if (const auto found = vanished_.find(job_id); found != vanished_.end()) vanished_.erase(found);
  }
  return WaitForPass();
}

absl::Status RegistryFileSync::UnpublishNow(std::string_view job_id) {
  const std::optional<ServiceRecord> record = registry_.Find(job_id);
  if (!record.has_value() || record->foreign) {
    const base::MutexLock lock(mutex_);
    dropped_.insert_or_assign(std::string(job_id), clock_.Now() + kKeepDropped);
  }
  return WaitForPass();
}

absl::Status RegistryFileSync::WaitForPass() {
  uint64_t mine = 0;
  {
    const base::MutexLock lock(mutex_);
    if (!running_) {
      return absl::FailedPreconditionError(absl::StrFormat(
          "registry file %s is not kept in step: not started, or shutting down", path_));
    }
    mine = ++requested_;
  }
  worker_->Wake();
  const base::MutexLock lock(mutex_);
  while (done_ < mine && !ended_) passed_.Wait(mutex_);
  if (done_ < mine) return absl::CancelledError("shutting down");
  return absl::Status(pass_code_, pass_message_);
}

std::set<int> RegistryFileSync::ForeignPorts(const std::string& instance_id) const {
  const base::MutexLock lock(mutex_);
  const auto found = foreign_ports_.find(instance_id);
  return found == foreign_ports_.end() ? std::set<int>() : found->second;
}

void RegistryFileSync::OnChange(const ServiceRecord& record) {
  if (record.foreign) return;
  FileEntry entry = EntryOf(record);
  {
    const base::MutexLock lock(mutex_);
    const auto known = published_.find(record.job_id);
    if (!record.published || record.phase == routing::Phase::kStopped) {
      if (known == published_.end()) return;
      published_.erase(known);
      vanished_.erase(record.job_id);
    } else {
      if (known != published_.end() && known->second == entry) return;
      published_.insert_or_assign(record.job_id, std::move(entry));
    }
    ++requested_;
  }
  worker_->Wake();
}

}  // namespace tao::registry
