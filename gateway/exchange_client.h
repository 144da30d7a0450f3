#pragma once

// The side of an exchange that asked: an HTTP connection (http_exchange_client.h) or a call of the
// API (infer_exchange.h). Exchange reads the request's body from it and writes the answer to it.
//
// Worker thread only. The client outlives its exchange.

#include <absl/status/status.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/http/head.h"
#include "gateway/transport/asio.h"
#include "gateway/transport/input_buffer.h"
#include "server/routing/route_table.h"

namespace tao::gateway {

// The head of an answer as the client shall get it.
struct Answer {
  const routing::Service* service = nullptr;
  const http::ResponseHead* head = nullptr;  // the backend's; its status is the answer's
  http::FieldMask kept;                      // of head->fields, what is passed on
  std::optional<uint64_t> length;            // of the body; absent when it shows at the end only
  bool is_event_stream = false;
  std::vector<std::string> notices;  // of the request, for the client
  bool is_translated = false;        // the events are made here, from the backend's JSON
  // Advice that the backend left out.
  int retry_after_s = 0;             // 0: none
  std::optional<bool> should_retry;  // x-should-retry
};

class ExchangeClient {
 public:
  virtual ~ExchangeClient() = default;

  // The next bytes of the request's body, valid until the next call; not called after the last.
  virtual transport::Task<absl::Status> ReadBody(transport::BodyPiece* piece) = 0;

  // Begins a stream of events while the backend is still silent: 200, with the names of `service`
  // and the `notices` of the request.
  // BeginAnswer is not called after it. Only where the request's may_translate says that the client
  // could be given events.
  virtual transport::Task<absl::Status> BeginStream(const routing::Service& service,
                                                    const std::vector<std::string>& notices) = 0;
  // Begins the answer. The head may wait for the first bytes of the body, or for Flush. All four:
  // an error means that the client is gone.
  virtual transport::Task<absl::Status> BeginAnswer(const Answer& answer) = 0;
  // `last` ends the answer, in the same write. `data` may be empty then.
  virtual transport::Task<absl::Status> WriteAnswer(std::string_view data, bool last) = 0;
  virtual transport::Task<absl::Status> Flush() = 0;

  // The answer that was begun cannot be completed. True: nothing of it was sent, so it is
  // forgotten, and the client can be told what happened.
  virtual bool WithdrawAnswer() = 0;
  // Otherwise. Tells the client, where the form of the answer allows it (between
  // two events), and makes sure that it does not look whole.
  virtual transport::Task<void> FailAnswer(const absl::Status& error, bool between_events) = 0;

  // Whoever waits in ReadBody or in a write is woken with an error, now and from now on.
  virtual void Interrupt() = 0;
};

}  // namespace tao::gateway
