#pragma once

// One request and its response on a connection: the response's head and framing, and the lines that
// the exchange log and the access log get. Of the connection's thread.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "docker/reference-backend/behaviour.h"
#include "docker/reference-backend/connection.h"
#include "docker/reference-backend/exchange_log.h"
#include "docker/reference-backend/health_reply.h"

namespace tao::reference_backend {

class Exchange {
 public:
  // All outlive the exchange. `peer` is the client's address, for the access log.
  Exchange(const Behaviour& behaviour, Connection& connection, ExchangeLog& log, ExchangeId id,
           const std::string& peer);

  RequestHead head;  // what the client sent; the caller reads it in

  // Whether the connection may carry another request after this answer: KEEP_ALIVE, and the client
  // agrees. Every answer's head says so. EndConnection makes it false.
  bool keep_alive() const;
  void EndConnection() { end_connection_ = true; }

  // Whole answers. False: the client left.
  bool SendJson(const JsonReply& reply);
  bool SendPage(int status, std::string_view extra_fields = {});  // as Flask's own errors, in HTML

  // An answer in pieces: without a length it is chunked, or ends with the connection in HTTP/1.0.
  // False: the client left, which is noted.
  bool Begin(int status, std::string_view content_type, std::optional<uint64_t> length);
  bool Write(std::string_view piece);
  bool End();

  // Blocks for `duration`, in which the client may leave; then it is noted with `phase`, and false.
  bool Wait(Milliseconds duration, std::string_view phase);

  // Notes that the client (or this program's end) cut the exchange.
  void NoteLeft(std::string_view phase);
  void Note(std::string_view event, ExchangeLog::Fields fields = {});
  void set_body_bytes(uint64_t bytes);  // of the request, so far: notes the first MiB
  uint64_t body_bytes() const { return body_bytes_; }
  uint64_t reply_bytes() const { return reply_bytes_; }

 private:
  bool SendWhole(int status, std::string_view content_type, std::string_view body,
                 std::string_view extra_fields);
  std::string ResponseHead(int status, std::string_view content_type,
                           std::optional<uint64_t> length, std::string_view extra_fields) const;
  bool SendBytes(std::string_view bytes, uint64_t body_bytes);
  void PrintAccess(int status) const;
  bool IsNoted() const { return head.method == "POST"; }

  const Behaviour& behaviour_;
  Connection& connection_;
  ExchangeLog& log_;
  const ExchangeId id_;
  const std::string& peer_;
  bool end_connection_ = false;
  bool chunked_ = false;
  int status_ = 0;
  uint64_t body_bytes_ = 0;
  uint64_t reply_bytes_ = 0;
};

}  // namespace tao::reference_backend
