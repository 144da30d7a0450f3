#pragma once

// An exchange whose client is a call of the API (infer.h). Worker thread only, but for its
// construction.

#include <absl/status/status.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/exchange_client.h"
#include "gateway/infer.h"
#include "gateway/transport/signal.h"

namespace tao::gateway {

class Exchange;
class Worker;

class InferExchange : public ExchangeClient, public std::enable_shared_from_this<InferExchange> {
 public:
  InferExchange(Worker& worker, InferCall call, std::shared_ptr<InferReceiver> receiver);

  // Runs the exchange, to OnEnd.
  static transport::Task<void> Run(std::shared_ptr<InferExchange> self);
  void ReadyForMore() { ready_.Set(); }
  void Cancel(absl::Status why);

  transport::Task<absl::Status> ReadBody(transport::BodyPiece* piece) override;
  transport::Task<absl::Status> BeginStream(const routing::Service& service,
                                            const std::vector<std::string>& notices) override;
  transport::Task<absl::Status> BeginAnswer(const Answer& answer) override;
  transport::Task<absl::Status> WriteAnswer(std::string_view data, bool last) override;
  transport::Task<absl::Status> Flush() override;
  bool WithdrawAnswer() override { return !told_; }
  transport::Task<void> FailAnswer(const absl::Status& error, bool between_events) override;
  void Interrupt() override;

 private:
  Worker& worker_;
  InferCall call_;
  const std::shared_ptr<InferReceiver> receiver_;
  const absl::Duration deadline_;
  std::string request_id_;
  Exchange* exchange_ = nullptr;  // while it runs
  transport::Signal ready_;       // the receiver has taken what it got
  bool interrupted_ = false;
  bool told_ = false;       // OnHead was called
  int error_status_ = 0;    // of an answer that is an error
  std::string error_text_;  // its body
};

}  // namespace tao::gateway
