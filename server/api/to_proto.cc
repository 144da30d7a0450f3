#include "server/api/to_proto.h"

#include <absl/time/time.h>

#include <string_view>

#include "server/api/utf8.h"
#include "server/base/secret.h"
#include "server/platforms/preflight.h"

namespace tao::api {
namespace {

// A time that never was (InfinitePast, InfiniteFuture) stays absent.
template <typename Mutable>
void SetTime(absl::Time time, Mutable&& mutable_field) {
  if (time == absl::InfinitePast() || time == absl::InfiniteFuture()) return;
  absl::Duration rest;
  const int64_t seconds = absl::IDivDuration(time - absl::UnixEpoch(), absl::Seconds(1), &rest);
  google::protobuf::Timestamp& timestamp = *mutable_field();
  // Timestamp counts nanos forward, also before 1970.
  const int64_t nanos = absl::ToInt64Nanoseconds(rest);
  timestamp.set_seconds(nanos < 0 ? seconds - 1 : seconds);
  timestamp.set_nanos(static_cast<int>(nanos < 0 ? nanos + 1'000'000'000 : nanos));
}

std::string GatewayUrl(std::string_view base, const std::string& job_id) {
  if (base.empty()) return "";
  while (base.ends_with('/')) base.remove_suffix(1);
  return std::string(base) + "/services/" + job_id + "/v1/chat/completions";
}

pb::CheckItem::Outcome ToProto(platforms::CheckItem::Outcome outcome) {
  using Outcome = platforms::CheckItem::Outcome;
  switch (outcome) {
    case Outcome::kOk:
      return pb::CheckItem::OUTCOME_OK;
    case Outcome::kWarning:
      return pb::CheckItem::OUTCOME_WARNING;
    case Outcome::kMissing:
      return pb::CheckItem::OUTCOME_MISSING;
    case Outcome::kUnknown:
      return pb::CheckItem::OUTCOME_UNKNOWN;
  }
  return pb::CheckItem::OUTCOME_UNSPECIFIED;
}

}  // namespace

pb::Phase ToProto(routing::Phase phase) {
  using routing::Phase;
  switch (phase) {
    case Phase::kLaunching:
      return pb::PHASE_LAUNCHING;
    case Phase::kPending:
      return pb::PHASE_PENDING;
    case Phase::kStarting:
      return pb::PHASE_STARTING;
    case Phase::kInitializing:
      return pb::PHASE_INITIALIZING;
    case Phase::kLoading:
      return pb::PHASE_LOADING;
    case Phase::kReady:
      return pb::PHASE_READY;
    case Phase::kUnreachable:
      return pb::PHASE_UNREACHABLE;
    case Phase::kDraining:
      return pb::PHASE_DRAINING;
    case Phase::kFailed:
      return pb::PHASE_FAILED;
    case Phase::kStopped:
      return pb::PHASE_STOPPED;
  }
  return pb::PHASE_UNSPECIFIED;
}

pb::Service ToProto(const registry::ServiceRecord& record, const std::string& gateway_base_url) {
  pb::Service service;
  service.set_job_id(ToValidUtf8(record.job_id));
  service.set_network_arch(ToValidUtf8(record.network_arch));
  service.set_platform(ToValidUtf8(record.platform));
  service.set_phase(ToProto(record.phase));
  service.set_reason(ToValidUtf8(record.reason));
  service.set_message(ToValidUtf8(record.message));
  if (!record.progress.stage.empty() || !record.progress.message.empty()) {
    service.mutable_progress()->set_stage(ToValidUtf8(record.progress.stage));
    service.mutable_progress()->set_message(ToValidUtf8(record.progress.message));
  }
  service.set_host_url(ToValidUtf8(record.host_url));
  service.set_docker_url(ToValidUtf8(record.docker_url));
  service.set_gateway_url(ToValidUtf8(GatewayUrl(gateway_base_url, record.job_id)));
  service.set_image(ToValidUtf8(record.image));
  service.set_model_path(ToValidUtf8(record.model_path));
  service.set_model_path_kind(ToValidUtf8(record.model_path_kind));
  for (const std::string& name : record.served_names) service.add_served_names(ToValidUtf8(name));
  service.set_gpu_mode(ToValidUtf8(record.gpu_mode));
  for (const std::string& id : record.gpu_ids) service.add_gpu_ids(ToValidUtf8(id));
  service.set_host_port(record.host_port);
  SetTime(record.created_at, [&] { return service.mutable_created_at(); });
  SetTime(record.started_at, [&] { return service.mutable_started_at(); });
  SetTime(record.phase_since, [&] { return service.mutable_phase_since(); });
  for (const std::string& line : record.last_log_lines) {
    service.add_last_log_lines(ToValidUtf8(line));
  }
  service.set_foreign(record.foreign);
  service.set_platform_job_id(ToValidUtf8(record.platform_job_id));
  service.set_slurm_node(ToValidUtf8(record.slurm_node));
  service.set_instance_id(ToValidUtf8(record.instance_id));
  for (const std::string& field : record.sampling_fields) {
    service.add_sampling_fields(ToValidUtf8(field));
  }
  return service;
}

pb::CheckPlatformResponse ToProto(const lifecycle::Lifecycle::PlatformCheck& check) {
  pb::CheckPlatformResponse response;
  response.set_platform(check.platform);
  for (const platforms::CheckItem& item : check.items) {
    pb::CheckItem& into = *response.add_items();
    into.set_name(item.name);
    into.set_outcome(ToProto(item.outcome));
    into.set_message(ToValidUtf8(base::Redact(item.message)));
  }
  response.set_usable(platforms::ToStatus(check.items).ok());
  return response;
}

}  // namespace tao::api
