#pragma once

// Brings a backend's answer to the client: its head with what our clients' libraries need, its body
// as it comes, or as the events that the client asked for. Worker thread only.

#include <absl/status/status.h>

#include <cstdint>
#include <string>

#include "gateway/chat/sse_boundary.h"
#include "gateway/exchange_client.h"
#include "gateway/exchange_times.h"
#include "gateway/heartbeat.h"
#include "gateway/request_body.h"
#include "gateway/upstream/upstream_connection.h"

namespace tao::chat {
class RoutingKeys;
}

namespace tao::gateway {

class AnswerRelay {
 public:
  // Everything outlives the relay. `request_id` stands in for the id of an answer that is
  // translated. `times` is filled in.
  AnswerRelay(upstream::UpstreamConnection& upstream, ExchangeClient& client, Heartbeat& heartbeat,
              const routing::Service& service, const chat::RoutingKeys& keys, RequestBody& body,
              std::string_view request_id, bool may_translate, ExchangeTimes& times);

  // Reads the answer and writes it, to its end. An error after begun() leaves it cut off: the
  // caller then calls ExchangeClient::FailAnswer.
  transport::Task<absl::Status> Run();

  bool begun() const { return begun_; }
  int status() const { return status_; }  // the backend's; 0 before its head
  bool between_events() const { return is_event_stream_ && events_.at_boundary(); }
  // The client has its whole answer; what may follow from the backend is of no interest.
  bool complete() const { return complete_; }
  uint64_t bytes() const { return bytes_; }  // written to the client

 private:
  transport::Task<absl::Status> AwaitHead();
  transport::Task<absl::Status> GoOnWithStream();
  transport::Task<absl::Status> RefuseAccepted();
  transport::Task<absl::Status> AddAdvice(Answer* answer);
  transport::Task<absl::Status> ReadShort();
  transport::Task<absl::Status> Relay();
  void FollowEvents(std::string_view data);
  transport::Task<absl::Status> Translate();
  transport::Task<absl::Status> NextPiece(transport::BodyPiece* piece);
  transport::Task<absl::Status> Write(std::string_view data, bool last);
  bool IsPlain(std::string_view media_type) const;
  Answer Plan() const;
  transport::Task<absl::Status> TellNotices();

  upstream::UpstreamConnection& upstream_;
  ExchangeClient& client_;
  Heartbeat& heartbeat_;
  const routing::Service& service_;
  const chat::RoutingKeys& keys_;
  RequestBody& body_;
  const std::string_view request_id_;
  const bool may_translate_;
  ExchangeTimes& times_;

  std::string short_;         // the beginning of an answer that had to be looked into
  bool short_ended_ = false;  // ... which was all of it
  chat::SseBoundary events_;
  bool is_event_stream_ = false;
  bool begun_ = false;
  bool complete_ = false;
  int status_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace tao::gateway
