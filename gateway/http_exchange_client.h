#pragma once

// The HTTP side of an exchange: body from the client's connection, answer to it, framed as its
// version of HTTP wants it. Worker thread only.

#include <absl/status/status.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/downstream.h"
#include "gateway/exchange_client.h"
#include "gateway/exchange_times.h"
#include "gateway/http/head_writer.h"
#include "gateway/worker.h"

namespace tao::gateway {

class HttpExchangeClient : public ExchangeClient {
 public:
  // Everything outlives the client. `keep_open`: another request may follow. `times`: what the
  // client is told of them (Server-Timing).
  HttpExchangeClient(Worker& worker, Downstream& downstream, std::string_view request_id,
                     bool keep_open, const ExchangeTimes& times);

  transport::Task<absl::Status> ReadBody(transport::BodyPiece* piece) override;
  transport::Task<absl::Status> BeginStream(const routing::Service& service,
                                            const std::vector<std::string>& notices) override;
  transport::Task<absl::Status> BeginAnswer(const Answer& answer) override;
  transport::Task<absl::Status> WriteAnswer(std::string_view data, bool last) override;
  transport::Task<absl::Status> Flush() override;
  bool WithdrawAnswer() override;
  transport::Task<void> FailAnswer(const absl::Status& error, bool between_events) override;
  void Interrupt() override { downstream_.Interrupt(); }

  // After an answer that was written to its end: whether the connection can take another request.
  bool keeps_open() const { return keep_open_; }

 private:
  // How the end of the answer's body shows.
  enum class Framing { kLength, kChunked, kClose };

  void NameService(http::HeadWriter& head, const routing::Service& service) const;
  absl::Status EndHead(http::HeadWriter& head, std::optional<uint64_t> length);
  absl::Status FinishHead(http::HeadWriter& head);

  Worker& worker_;
  Downstream& downstream_;
  const std::string_view request_id_;
  bool keep_open_;
  const ExchangeTimes& times_;
  Framing framing_ = Framing::kClose;
  std::string head_;  // not written yet
};

}  // namespace tao::gateway
