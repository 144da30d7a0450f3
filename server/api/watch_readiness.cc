#include "server/api/watch_readiness.h"

#include <absl/strings/str_format.h>

#include <utility>

#include "server/api/to_grpc_status.h"
#include "server/api/to_proto.h"
#include "server/base/errors.h"
#include "server/base/strings.h"

namespace tao::api {
namespace {

absl::Status NoSuchService(const std::string& job_id) {
  return base::TokenError(
      base::ErrorToken::kServiceNotFound,
      absl::StrFormat("there is no service %s; List shows those there are", base::Quoted(job_id)));
}

}  // namespace

bool IsLastEvent(const registry::ServiceRecord& record, bool until_ready) {
  if (record.phase == routing::Phase::kReady) return until_ready;
  const registry::JournalEntry& journal = record.journal;
  const bool saving_logs = journal.operation == registry::Operation::kFail &&
                           journal.step == registry::Step::kSaveLogs && !journal.done;
  return routing::IsFinal(record.phase) && !saving_logs;
}

grpc::ServerWriteReactor<pb::ReadinessEvent>* ReadinessStream::Begin(
    const ApiDependencies& dependencies, const std::string& gateway_base_url, ServerDrain& drain,
    const grpc::CallbackServerContext& context, const pb::WatchReadinessRequest& request) {
  std::shared_ptr<ReadinessStream> stream(
      new ReadinessStream(gateway_base_url, request.until_ready(), context));
  stream->self_ = stream;
  stream->Subscribe(dependencies, request.job_id());
  drain.Add(stream);
  return stream.get();
}

void ReadinessStream::Subscribe(const ApiDependencies& dependencies, const std::string& job_id) {
  std::shared_ptr<readiness::Subscription> subscription =
      dependencies.hub->Watch(job_id, [weak = weak_from_this()] {
        if (const std::shared_ptr<ReadinessStream> stream = weak.lock()) stream->Pump();
      });
  if (subscription != nullptr) {
    {
      base::MutexLock lock(mutex_);
      subscription_ = std::move(subscription);
    }
    return Pump();
  }
  // One that was stopped is still known for a day: its watcher gets the final state.
  const std::optional<registry::ServiceRecord> record = dependencies.registry->Find(job_id);
  {
    base::MutexLock lock(mutex_);
    end_ = record.has_value() ? grpc::Status::OK : ToGrpcStatus(NoSuchService(job_id));
    writing_ = record.has_value();
  }
  if (!record.has_value()) return Pump();
  *event_.mutable_service() = ToProto(*record, gateway_base_url_);
  StartWrite(&event_);
}

void ReadinessStream::Pump() {
  std::optional<grpc::Status> finish;
  {
    base::MutexLock lock(mutex_);
    if (finished_ || writing_) return;
    if (!end_.has_value()) {
      if (subscription_ == nullptr) return;  // Subscribe pumps
      const std::optional<registry::ServiceRecord> news = subscription_->Take();
      if (!news.has_value()) return;
      pb::Service service = ToProto(*news, gateway_base_url_);
      const bool last = IsLastEvent(*news, until_ready_);
      // A step of the journal, say, which nobody sees.
      if (std::string sent = service.SerializeAsString(); sent != sent_ || last) {
        sent_ = std::move(sent);
        *event_.mutable_service() = std::move(service);
        writing_ = true;
      } else {
        return;
      }
      if (last) end_ = grpc::Status::OK;
    } else {
      finished_ = true;
      finish = end_;
    }
  }
  // Outside the lock: nothing else is started meanwhile, since writing_ or finished_ is set.
  if (finish.has_value()) {
    Finish(*finish);
  } else {
    StartWrite(&event_);
  }
}

void ReadinessStream::OnWriteDone(bool ok) {
  {
    base::MutexLock lock(mutex_);
    writing_ = false;
    if (!ok) end_ = grpc::Status(grpc::StatusCode::CANCELLED, "the caller left");
  }
  Pump();
}

void ReadinessStream::OnCancel() {
  {
    base::MutexLock lock(mutex_);
    end_ = grpc::Status(grpc::StatusCode::CANCELLED, "the call was cancelled");
  }
  Pump();
}

void ReadinessStream::OnServerDrain() {
  {
    base::MutexLock lock(mutex_);
    if (!end_.has_value()) {
      end_ =
          grpc::Status(grpc::StatusCode::UNAVAILABLE,
                       "the server is shutting down; services run on, watch again when it is back");
    }
  }
  Pump();
}

void ReadinessStream::OnDone() {
  CallEnded();
  std::shared_ptr<readiness::Subscription> subscription;
  {
    base::MutexLock lock(mutex_);
    subscription.swap(subscription_);
  }
  const std::shared_ptr<ReadinessStream> last = std::move(self_);
}

}  // namespace tao::api
