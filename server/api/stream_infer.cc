#include "server/api/stream_infer.h"

#include <utility>

#include "server/api/to_grpc_status.h"
#include "server/api/utf8.h"

namespace tao::api {

grpc::ServerWriteReactor<pb::StreamInferResponse>* InferAnswerStream::Begin(
    const ApiDependencies& dependencies, const grpc::CallbackServerContext& context,
    const pb::InferRequest& request) {
  const auto stream = std::make_shared<InferAnswerStream>();
  stream->self_ = stream;
  absl::StatusOr<PreparedInfer> prepared = PrepareInfer(dependencies, context, request);
  if (prepared.ok()) {
    stream->applied_ = std::move(prepared->applied);
    stream->caller_.Post(*dependencies.gateway, std::move(prepared->call), stream);
  } else {
    stream->OnEnd(prepared.status());
  }
  return stream.get();
}

void InferAnswerStream::OnHead(gateway::InferHead head) {
  {
    base::MutexLock lock(mutex_);
    head_ = std::move(head);
  }
  Pump();
}

void InferAnswerStream::OnData(std::string piece) {
  {
    base::MutexLock lock(mutex_);
    piece_ = std::move(piece);
  }
  Pump();
}

void InferAnswerStream::OnEnd(absl::Status status) {
  {
    base::MutexLock lock(mutex_);
    end_ = std::move(status);
  }
  Pump();
}

void InferAnswerStream::Pump() {
  bool took_piece = false;
  std::optional<absl::Status> finish;
  {
    base::MutexLock lock(mutex_);
    if (writing_ || finished_) return;
    if (head_.has_value() || piece_.has_value()) {
      message_.Clear();
      if (head_.has_value()) {
        message_.set_content_type(ToValidUtf8(std::move(head_->content_type)));
        message_.set_job_id(std::move(head_->job_id));
        message_.set_network_arch(std::move(head_->network_arch));
        message_.set_request_id(std::move(head_->request_id));
        message_.mutable_applied()->Assign(applied_.begin(), applied_.end());
        for (std::string& notice : head_->notices) message_.add_notices(std::move(notice));
        head_.reset();
      }
      if (piece_.has_value()) {
        message_.set_data(*std::move(piece_));
        piece_.reset();
        took_piece = true;
      }
      writing_ = true;
    } else if (end_.has_value()) {
      finished_ = true;
      finish = end_;
    } else {
      return;
    }
  }
  // Outside the lock: nothing else is started meanwhile, since writing_ or finished_ is set. The
  // next piece is fetched while this one is written; it waits until OnWriteDone.
  if (finish.has_value()) return Finish(ToGrpcStatus(*finish));
  const std::shared_ptr<InferAnswerStream> keep = shared_from_this();
  StartWrite(&message_);
  if (took_piece) caller_.ReadyForMore();
}

void InferAnswerStream::OnWriteDone(bool ok) {
  {
    base::MutexLock lock(mutex_);
    writing_ = false;
    if (!ok) {  // the caller left
      head_.reset();
      piece_.reset();
    }
  }
  if (!ok) caller_.Cancel();
  Pump();
}

void InferAnswerStream::OnDone() {
  const std::shared_ptr<InferAnswerStream> last = std::move(self_);
}

}  // namespace tao::api
