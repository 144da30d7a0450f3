#include "gateway/infer_exchange.h"

#include <utility>

#include "gateway/exchange.h"
#include "gateway/exchange_times.h"
#include "gateway/infer_status.h"
#include "gateway/transport/deadline_wheel.h"
#include "gateway/worker.h"
#include "server/base/errors.h"

namespace tao::gateway {

using transport::Task;

namespace {

// The longest error body that is looked into; the rest is dropped.
constexpr size_t kMaxErrorBytes = 64 * 1024;

}  // namespace

InferStream::InferStream(Worker& worker, std::weak_ptr<InferExchange> exchange)
    : worker_(worker), exchange_(std::move(exchange)) {}

void InferStream::ReadyForMore() {
  worker_.Post([exchange = exchange_] {
    if (const auto alive = exchange.lock()) alive->ReadyForMore();
  });
}

void InferStream::Cancel() {
  worker_.Post([exchange = exchange_] {
    if (const auto alive = exchange.lock()) {
      alive->Cancel(absl::CancelledError("the caller cancelled the request"));
    }
  });
}

InferExchange::InferExchange(Worker& worker, InferCall call,
                             std::shared_ptr<InferReceiver> receiver)
    : worker_(worker),
      call_(std::move(call)),
      receiver_(std::move(receiver)),
      deadline_(transport::DeadlineWheel::After(call_.time_left)),
      ready_(worker.io()) {
  ready_.Set();
}

Task<void> InferExchange::Run(std::shared_ptr<InferExchange> self) {
  Worker& worker = self->worker_;
  if (!worker.accepting()) {
    self->receiver_->OnEnd(ShuttingDown());
    co_return;
  }
  self->request_id_ = worker.NewRequestId();
  ExchangeRequest request;
  request.selector = self->call_.selector;
  request.forward.path = "/v1/chat/completions";
  request.forward.request_id = self->request_id_;
  request.strict = self->call_.strict;
  request.body_length = self->call_.body.size();

  const std::string_view path = request.forward.path;
  ExchangeTimes times;
  Exchange exchange(worker, *self, std::move(request), times);
  self->exchange_ = &exchange;
  transport::Deadline deadline(worker.wheel(), [&exchange] {
    exchange.Cancel(absl::DeadlineExceededError(
        "the call's deadline passed before the service had answered; allow it more time"));
  });
  deadline.Arm(self->deadline_);
  absl::Status status = co_await exchange.Run();
  self->exchange_ = nullptr;
  worker.Report({self->request_id_, "Infer", path}, exchange, times, status);
  if (status.ok() && self->error_status_ != 0) {
    status = StatusOfAnswer(self->error_status_, self->error_text_, *exchange.service());
  }
  self->receiver_->OnEnd(std::move(status));
}

void InferExchange::Cancel(absl::Status why) {
  if (exchange_ != nullptr) exchange_->Cancel(std::move(why));
}

Task<absl::Status> InferExchange::ReadBody(transport::BodyPiece* piece) {
  *piece = call_.body.Next();
  co_return absl::OkStatus();
}

Task<absl::Status> InferExchange::BeginStream(const routing::Service& service,
                                              const std::vector<std::string>& notices) {
  co_return absl::InternalError("a call of the API is not given events of the gateway's own");
}

Task<absl::Status> InferExchange::BeginAnswer(const Answer& answer) {
  const int status = answer.head->status;
  if (status < 200 || status > 299) {
    error_status_ = status;
    co_return absl::OkStatus();
  }
  told_ = true;
  InferHead head;
  head.content_type = std::string(answer.head->fields.ValueOf(http::FieldId::kContentType));
  head.job_id = answer.service->job_id;
  head.network_arch = answer.service->network_arch;
  head.request_id = request_id_;
  head.notices = answer.notices;
  receiver_->OnHead(std::move(head));
  co_return absl::OkStatus();
}

Task<absl::Status> InferExchange::WriteAnswer(std::string_view data, bool last) {
  if (error_status_ != 0) {
    error_text_.append(data.substr(0, kMaxErrorBytes - error_text_.size()));
    co_return absl::OkStatus();
  }
  while (!data.empty()) {
    co_await ready_.Wait();
    if (interrupted_) co_return absl::CancelledError("the call has ended");
    ready_.Clear();
    receiver_->OnData(std::string(data.substr(0, kMaxInferPieceBytes)));
    data.remove_prefix(std::min(data.size(), kMaxInferPieceBytes));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> InferExchange::Flush() { co_return absl::OkStatus(); }

Task<void> InferExchange::FailAnswer(const absl::Status& error, bool between_events) { co_return; }

void InferExchange::Interrupt() {
  interrupted_ = true;
  ready_.Set();
}

}  // namespace tao::gateway
