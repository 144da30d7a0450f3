#include "server/lifecycle/journal_session.h"

#include "server/base/status.h"

namespace tao::lifecycle {

JournalSession::JournalSession(Parts& parts, registry::Operation operation,
                               const registry::ServiceRecord& record,
                               const base::CancelToken& cancel)
    : parts_(parts),
      operation_(operation),
      job_id_(record.job_id),
      gpu_ids_(record.gpu_ids),
      port_wish_(PortWishOf(parts, record)),
      cancel_(cancel),
      host_port_(record.host_port),
      instance_port_(record.instance_port) {}

absl::Status JournalSession::BeginStep(registry::Step step) {
  if (operation_ == registry::Operation::kStart && cancel_.cancelled()) {
    return absl::CancelledError("the start was cancelled");
  }
  return parts_.registry->BeginStep(job_id_, operation_, step);
}

absl::Status JournalSession::EndStep(registry::Step step) {
  return parts_.registry->EndStep(job_id_, operation_, step);
}

absl::Status JournalSession::SaveDriverState(const std::map<std::string, std::string>& state) {
  return parts_.registry
      ->Update(job_id_,
               [&](registry::ServiceRecord& record) {
                 if (record.driver_state == state) return false;
                 record.driver_state = state;
                 return true;
               })
      .status();
}

std::map<std::string, std::string> JournalSession::SavedDriverState() const {
  const std::optional<registry::ServiceRecord> record = parts_.registry->Find(job_id_);
  return record.has_value() ? record->driver_state : std::map<std::string, std::string>();
}

void JournalSession::ReportProgress(const registry::Progress& progress) {
  const absl::Time now = parts_.clock->Now();
  // Lost in a crash, and told again by the next try: not worth a durable write a line.
  static_cast<void>(parts_.registry->Update(
      job_id_,
      [&](registry::ServiceRecord& record) {
        if (record.progress == progress) return false;
        record.progress = progress;
        record.progress_since = now;
        return true;
      },
      registry::Registry::Durability::kMemory));
}

void JournalSession::ReportPending(std::string_view reason, std::string_view message) {
  const absl::Time now = parts_.clock->Now();
  const auto apply = [&](registry::ServiceRecord& record) {
    using routing::Phase;
    if (record.phase != Phase::kLaunching && record.phase != Phase::kPending) return false;
    const bool begins = record.phase == Phase::kLaunching;
    if (!begins && record.reason == reason && record.message == message) return false;
    if (begins) {
      record.phase = Phase::kPending;
      record.phase_since = now;
      record.progress = {};
    }
    record.reason = std::string(reason);
    record.message = std::string(message);
    return true;
  };
  // Durable with the change of phase; a queue's position is told again by the next look.
  static_cast<void>(parts_.registry->Update(job_id_, apply,
                                            pending_ ? registry::Registry::Durability::kMemory
                                                     : registry::Registry::Durability::kDurable));
  pending_ = true;
}

absl::StatusOr<int> JournalSession::InstancePort(const std::string& instance_id, bool next) {
  if (instance_port_ != 0 && !next) return instance_port_;
  if (instance_port_ != 0) refused_instance_ports_.insert(instance_port_);
  PortWish wish;
  wish.instance_id = instance_id;
  ASSIGN_OR_RETURN(const int port,
                   parts_.leases->AcquirePort(job_id_, wish, refused_instance_ports_));
  RETURN_IF_ERROR(parts_.registry
                      ->Update(job_id_,
                               [&](registry::ServiceRecord& record) {
                                 record.instance_id = instance_id;
                                 record.instance_port = port;
                                 return true;
                               })
                      .status());
  instance_port_ = port;
  return port;
}

absl::StatusOr<int> JournalSession::NextPort() {
  refused_ports_.insert(host_port_);
  ASSIGN_OR_RETURN(const int port, parts_.leases->AcquirePort(job_id_, port_wish_, refused_ports_));
  RETURN_IF_ERROR(parts_.registry
                      ->Update(job_id_,
                               [&](registry::ServiceRecord& record) {
                                 record.host_port = port;
                                 return true;
                               })
                      .status());
  host_port_ = port;
  return port;
}

}  // namespace tao::lifecycle
