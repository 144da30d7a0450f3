#include "server/api/health.h"

#include <absl/strings/str_format.h>

#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "server/api/to_grpc_status.h"
#include "server/base/errors.h"
#include "server/base/mutex.h"
#include "server/base/strings.h"

namespace tao::api {
namespace {

namespace hpb = ::grpc::health::v1;
using Serving = hpb::HealthCheckResponse::ServingStatus;

bool IsServerName(std::string_view name) {
  return name.empty() || name == "tao.inference.v1.InferenceService" || name == "gateway";
}

Serving StatusOf(const registry::ServiceRecord& record) {
  switch (record.phase) {
    case routing::Phase::kReady:
      return hpb::HealthCheckResponse::SERVING;
    case routing::Phase::kStopped:
      return hpb::HealthCheckResponse::SERVICE_UNKNOWN;
    default:
      return hpb::HealthCheckResponse::NOT_SERVING;
  }
}

// Lives until OnDone, and as long as a callback holds it. Thread-safe.
class HealthStream : public grpc::ServerWriteReactor<hpb::HealthCheckResponse>,
                     public DrainListener,
                     public std::enable_shared_from_this<HealthStream> {
 public:
  explicit HealthStream(const grpc::CallbackServerContext& context) : DrainListener(context) {}

  static grpc::ServerWriteReactor<hpb::HealthCheckResponse>* Begin(
      readiness::Hub& hub, ServerDrain& drain, const grpc::CallbackServerContext& context,
      const std::string& name) {
    const auto stream = std::make_shared<HealthStream>(context);
    stream->self_ = stream;
    if (IsServerName(name)) {
      stream->Set(hpb::HealthCheckResponse::SERVING);
    } else {
      stream->Subscribe(hub, name);
    }
    drain.Add(stream);
    return stream.get();
  }

  void OnWriteDone(bool ok) override {
    {
      base::MutexLock lock(mutex_);
      writing_ = false;
      if (!ok && !end_.has_value()) end_ = grpc::Status::CANCELLED;
    }
    Pump();
  }

  void OnCancel() override {
    {
      base::MutexLock lock(mutex_);
      if (!end_.has_value()) end_ = grpc::Status::CANCELLED;
    }
    Pump();
  }

  // The last word is NOT_SERVING; the call then ends, so that it does not hold the server up.
  void OnServerDrain() override {
    {
      base::MutexLock lock(mutex_);
      next_ = hpb::HealthCheckResponse::NOT_SERVING;
      draining_ = true;
      if (!end_.has_value()) {
        end_ = grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server is shutting down");
      }
    }
    Pump();
  }

  void OnDone() override {
    CallEnded();
    std::shared_ptr<readiness::Subscription> subscription;
    {
      base::MutexLock lock(mutex_);
      subscription.swap(subscription_);
    }
    const std::shared_ptr<HealthStream> last = std::move(self_);
  }

 private:
  void Set(Serving status) {
    {
      base::MutexLock lock(mutex_);
      next_ = status;
    }
    Pump();
  }

  void Subscribe(readiness::Hub& hub, const std::string& job_id) {
    std::shared_ptr<readiness::Subscription> subscription =
        hub.Watch(job_id, [weak = weak_from_this()] {
          if (const std::shared_ptr<HealthStream> stream = weak.lock()) stream->Pump();
        });
    if (subscription == nullptr) return Set(hpb::HealthCheckResponse::SERVICE_UNKNOWN);
    {
      base::MutexLock lock(mutex_);
      subscription_ = std::move(subscription);
    }
    Pump();
  }

  void Pump() {
    std::optional<grpc::Status> finish;
    {
      base::MutexLock lock(mutex_);
      if (writing_ || finished_) return;
      if (subscription_ != nullptr && !draining_) {
        if (const std::optional<registry::ServiceRecord> news = subscription_->Take()) {
          next_ = StatusOf(*news);
        }
      }
      const bool left = end_.has_value() && !draining_;
      if (next_.has_value() && next_ != sent_ && !left) {
        sent_ = next_;
        response_.set_status(*next_);
        writing_ = true;
      } else if (end_.has_value()) {
        finished_ = true;
        finish = end_;
      } else {
        return;
      }
    }
    // Outside the lock: nothing else is started meanwhile, since writing_ or finished_ is set.
    if (finish.has_value()) {
      Finish(*finish);
    } else {
      StartWrite(&response_);
    }
  }

  base::Mutex mutex_;
  std::shared_ptr<readiness::Subscription> subscription_ ABSL_GUARDED_BY(mutex_);
  std::optional<Serving> next_ ABSL_GUARDED_BY(mutex_);
  std::optional<Serving> sent_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<grpc::Status> end_ ABSL_GUARDED_BY(mutex_);
  hpb::HealthCheckResponse response_;   // whoever set writing_ fills it
  std::shared_ptr<HealthStream> self_;  // until OnDone
};

}  // namespace

grpc::ServerUnaryReactor* Health::Check(grpc::CallbackServerContext* context,
                                        const hpb::HealthCheckRequest* request,
                                        hpb::HealthCheckResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const std::string& name = request->service();
  if (IsServerName(name)) {
    response->set_status(drain_.begun() ? hpb::HealthCheckResponse::NOT_SERVING
                                        : hpb::HealthCheckResponse::SERVING);
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  const std::unique_ptr<readiness::Subscription> subscription = hub_.Watch(name, [] {});
  const std::optional<registry::ServiceRecord> record =
      subscription == nullptr ? std::nullopt : subscription->Take();
  if (!record.has_value() || record->phase == routing::Phase::kStopped) {
    reactor->Finish(ToGrpcStatus(
        base::TokenError(base::ErrorToken::kServiceNotFound,
                         absl::StrFormat("there is no service %s", base::Quoted(name)))));
    return reactor;
  }
  response->set_status(drain_.begun() ? hpb::HealthCheckResponse::NOT_SERVING : StatusOf(*record));
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerWriteReactor<hpb::HealthCheckResponse>* Health::Watch(
    grpc::CallbackServerContext* context, const hpb::HealthCheckRequest* request) {
  return HealthStream::Begin(hub_, drain_, *context, request->service());
}

}  // namespace tao::api
