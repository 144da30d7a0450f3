#pragma once

// One connection from its first request to its last: the routes, and the order of the checks of a
// chat completion. Thread-safe: Serve runs on a thread of its own for each connection.

#include <cstdint>
#include <string>

#include "docker/reference-backend/activity.h"
#include "docker/reference-backend/behaviour.h"
#include "docker/reference-backend/chat_reply.h"
#include "docker/reference-backend/command_line.h"
#include "docker/reference-backend/connection.h"
#include "docker/reference-backend/exchange.h"
#include "docker/reference-backend/exchange_log.h"
#include "docker/reference-backend/request_body.h"

namespace tao::reference_backend {

class Handler {
 public:
  // All outlive the handler.
  Handler(const Behaviour& behaviour, const CommandLine& line, Activity& activity,
          ExchangeLog& log);

  // Blocks until the connection is to be closed. `number` counts connections, from 1; `peer` is the
  // client's address.
  void Serve(Connection& connection, int64_t number, const std::string& peer);

 private:
  // Each answers one request. False: the connection is to be closed, at once and as it is.
  bool Answer(Exchange& exchange, RequestBody& body);
  bool AnswerGet(Exchange& exchange, RequestBody& body);
  bool AnswerChat(Exchange& exchange, RequestBody& body);
  bool SendCompletion(Exchange& exchange, const ChatRequest& request, int64_t number);
  bool SendJsonCompletion(Exchange& exchange, const ReplyContent& content,
                          const ReplyIdentity& identity);
  bool SendSseCompletion(Exchange& exchange, const ReplyContent& content,
                         const ReplyIdentity& identity, bool usage);

  // At half of the content: pauses, or cuts the answer, which is false.
  bool AtHalf(Exchange& exchange);
  void CrashIfAsked(int64_t chat_number);

  const Behaviour& behaviour_;
  const CommandLine& line_;
  Activity& activity_;
  ExchangeLog& log_;
};

// Ends the process at once with CRASH_EXIT_CODE, as a container that dies.
[[noreturn]] void Crash(const Behaviour& behaviour, ExchangeLog& log, const std::string& why);

}  // namespace tao::reference_backend
