#pragma once

// A client's connection: reads its requests one after the other, and writes to it. Knows HTTP's
// framing, and nothing of what the requests mean.
//
// Worker thread only. The object outlives the tasks that it returns.

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <string_view>
#include <utility>

#include "gateway/gateway_config.h"
#include "gateway/http/body_reader.h"
#include "gateway/http/framing.h"
#include "gateway/http/head_parser.h"
#include "gateway/transport/connection.h"
#include "gateway/transport/deadline_wheel.h"
#include "gateway/transport/input_buffer.h"

namespace tao::gateway {

class Downstream {
 public:
  // `config` outlives the connection.
  Downstream(transport::TcpSocket socket, transport::DeadlineWheel& wheel,
             const GatewayConfig& config);

  // Reads the next request's head, which must begin within `idle_limit`, and decides where its body
  // ends. Errors: HttpError, when it is malformed or came too slowly: answer, and close. Cancelled:
  // there is no further request.
  transport::Task<absl::Status> ReadHead(absl::Duration idle_limit);
  // No byte of a request is there: between two requests, or before the first.
  bool is_idle() const { return idle_; }

  // After ReadHead, valid until EndRequest.
  const http::RequestHead& head() const { return parser_.head(); }
  const http::BodyFraming& framing() const { return body_.framing(); }

  // The client sends the body only after a 100 (Continue): one is sent when the body is first
  // waited for.
  void ExpectContinue() { owes_continue_ = true; }

  // The next bytes of the body, valid until the next call. Errors: HttpError; ClientLeft.
  transport::Task<absl::Status> ReadBody(transport::BodyPiece* piece);
  bool body_done() const { return body_.done(); }
  // Nothing has gone wrong with the input so far: it can be read on.
  bool in_step() const { return in_step_; }
  // Reads the rest of a body that nobody wants, if it is short and in step. Unless body_done()
  // afterwards, the connection cannot be used for another request. The errors of ReadBody: answer
  // these instead.
  transport::Task<absl::Status> SkipBody();

  // The request was answered: what follows in the buffer is the next one.
  void EndRequest();

  // Writes everything. False: the client is gone.
  transport::Task<bool> Write(transport::Gather text);

  // Ends the waiting for input, now and later. For writes too when one waits for the client, who
  // then does not read.
  void Interrupt();
  // Both directions, whatever they do.
  void Abort();
  // The close will be a reset: the answer's end must not be taken for a whole one.
  void ResetOnClose();

  // Half-closes, and reads until the client closes too or some seconds have passed: a reset would
  // take our last answer out of its hands (RFC 9112 section 9.6).
  transport::Task<void> Linger();

  // See Connection.
  void OnHangup(absl::AnyInvocable<void()> on_hangup) {
    connection_.OnHangup(std::move(on_hangup));
  }

 private:
  absl::Status BeginBody();
  absl::Duration BodyPatience() const;

  const GatewayConfig& config_;
  transport::Connection connection_;
  transport::InputBuffer input_;
  http::RequestHeadParser parser_;
  http::BodyReader body_;
  bool idle_ = true;
  bool owes_continue_ = false;
  absl::Duration body_waited_;  // for the client, in all reads of this body
  bool in_step_ = true;
  bool closes_hard_ = false;  // no lingering
};

}  // namespace tao::gateway
