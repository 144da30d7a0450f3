#include "server/api/stop.h"

#include <absl/strings/str_format.h>

#include <utility>

#include "server/api/from_proto.h"
#include "server/api/to_grpc_status.h"
#include "server/api/to_proto.h"
#include "server/base/errors.h"

namespace tao::api {
namespace {

absl::Status NoJobId() {
  const std::string description =
      "is empty; name the service by its job_id (List shows them, and `latest`)";
  return base::WithDetails(absl::InvalidArgumentError("job_id " + description),
                           {.violations = {{.field = "job_id", .description = description}}});
}

}  // namespace

StopCall::StopCall(const ApiDependencies& dependencies, const std::string& gateway_base_url,
                   const pb::StopRequest& request, pb::StopResponse& response)
    : dependencies_(dependencies),
      gateway_base_url_(gateway_base_url),
      request_(request),
      response_(response) {}

std::shared_ptr<StopCall> StopCall::Create(const ApiDependencies& dependencies,
                                           const std::string& gateway_base_url,
                                           const pb::StopRequest& request,
                                           pb::StopResponse& response) {
  std::shared_ptr<StopCall> call(new StopCall(dependencies, gateway_base_url, request, response));
  call->self_ = call;
  return call;
}

void StopCall::Run() {
  if (request_.job_id().empty()) return Fail(NoJobId());
  std::optional<absl::Duration> drain_timeout;
  if (request_.has_drain_timeout()) {
    const absl::StatusOr<absl::Duration> asked =
        ToDuration(request_.drain_timeout(), "drain_timeout");
    if (!asked.ok()) return Fail(asked.status());
    drain_timeout = *asked;
  }
  // Also for a caller that has left by now: a stop that was asked for is carried out.
  absl::StatusOr<registry::ServiceRecord> stopping =
      dependencies_.lifecycle->Stop(request_.job_id(), drain_timeout);
  if (!stopping.ok()) return Fail(stopping.status());
  if (!request_.wait() || stopping->phase == routing::Phase::kStopped) {
    return FinishOnce(absl::OkStatus(), &*stopping);
  }
  std::shared_ptr<readiness::Subscription> subscription =
      dependencies_.hub->Watch(request_.job_id(), [weak = weak_from_this()] {
        if (const std::shared_ptr<StopCall> call = weak.lock()) call->OnNews();
      });
  if (subscription == nullptr) {  // STOPPED since then
    stopping->phase = routing::Phase::kStopped;
    return FinishOnce(absl::OkStatus(), &*stopping);
  }
  {
    base::MutexLock lock(mutex_);
    subscription_ = std::move(subscription);
  }
  OnNews();  // what was there before we could take it
}

void StopCall::OnNews() {
  std::shared_ptr<readiness::Subscription> subscription;
  {
    base::MutexLock lock(mutex_);
    subscription = subscription_;
  }
  if (subscription == nullptr) return;  // Run takes it
  const std::optional<registry::ServiceRecord> news = subscription->Take();
  if (news.has_value() && news->phase == routing::Phase::kStopped) {
    FinishOnce(absl::OkStatus(), &*news);
  }
}

void StopCall::Fail(const absl::Status& status) { FinishOnce(status, nullptr); }

void StopCall::FinishOnce(const absl::Status& status, const registry::ServiceRecord* record) {
  {
    base::MutexLock lock(mutex_);
    if (std::exchange(finished_, true)) return;
  }
  if (record != nullptr) *response_.mutable_service() = ToProto(*record, gateway_base_url_);
  Finish(ToGrpcStatus(status));
}

void StopCall::OnCancel() {
  Fail(absl::CancelledError(absl::StrFormat(
      "the call ended before service %s was STOPPED; the stop goes on", request_.job_id())));
}

void StopCall::OnDone() {
  std::shared_ptr<readiness::Subscription> subscription;
  {
    base::MutexLock lock(mutex_);
    subscription.swap(subscription_);
  }
  const std::shared_ptr<StopCall> last = std::move(self_);
}

}  // namespace tao::api
