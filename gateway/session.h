#pragma once

// One client's connection, from accept to close: reads a request, answers it, reads the next. Run()
// in session.cc shows the whole of it.
//
// Worker thread only. A session owns itself: it is destroyed at the end of Run.

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <memory>
#include <optional>
#include <string>

#include "gateway/connection_limit.h"
#include "gateway/downstream.h"
#include "gateway/local_reply.h"
#include "gateway/request.h"
#include "gateway/transport/asio.h"
#include "server/routing/route_table.h"

namespace tao::gateway {

class Exchange;
class Worker;

class Session {
 public:
  // Serves the connection on its own, to its end. The worker outlives it.
  // Without a ticket it only tells the client why there is none.
  static void Begin(Worker& worker, transport::TcpSocket socket,
                    std::optional<ConnectionLimit::Ticket> ticket,
                    ConnectionLimit::Refusal refusal);

  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // The worker drains: a connection without a request is closed, others after their answer.
  void OnDrain();
  // Closes the connection, whatever it does.
  void Abort();

 private:
  Session(Worker& worker, transport::TcpSocket socket,
          std::optional<ConnectionLimit::Ticket> ticket, ConnectionLimit::Refusal refusal);

  static transport::Task<void> Run(std::unique_ptr<Session> session);
  absl::Duration IdleLimit() const;
  transport::Task<void> Refuse();
  transport::Task<void> ServeRequest();
  transport::Task<void> ServeChat();
  LocalReply Answer() const;
  LocalReply AnswerGet() const;
  transport::Task<void> Send(LocalReply reply);
  transport::Task<void> Send(LocalReply reply, const ReplyContext& about);
  void OnHangup();

  Worker& worker_;
  const std::optional<ConnectionLimit::Ticket> ticket_;
  const ConnectionLimit::Refusal refusal_;
  Downstream downstream_;
  Request request_;
  std::string request_id_;
  Exchange* exchange_ = nullptr;  // the one that runs
  bool first_request_ = true;
  bool keep_open_ = true;
  bool hung_up_ = false;  // the client has sent its FIN, or is gone
  bool lost_ = false;     // the client is gone, or its answer was cut: nothing more to say
};

}  // namespace tao::gateway
