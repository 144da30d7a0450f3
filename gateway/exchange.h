#pragma once

// One chat completion, from its head to the end of its answer; the same for HTTP and gRPC. Run() in
// exchange.cc, read from top to bottom, is the way of a request.
//
// Worker thread only.

#include <absl/status/status.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/answer_relay.h"
#include "gateway/exchange_client.h"
#include "gateway/exchange_counts.h"
#include "gateway/exchange_times.h"
#include "gateway/heartbeat.h"
#include "gateway/request_body.h"
#include "gateway/request_routing.h"
#include "gateway/request_wishes.h"
#include "gateway/spool/kept_body.h"
#include "gateway/transport/deadline_wheel.h"
#include "gateway/transport/signal.h"
#include "gateway/upstream/body_coder.h"
#include "gateway/upstream/request_head.h"
#include "gateway/upstream/upstream_connection.h"

namespace tao::gateway {

class Worker;

struct ExchangeRequest {
  routing::Selector selector;          // what the head says
  upstream::ForwardedRequest forward;  // what the backend is sent
  std::optional<uint64_t> body_length;
  bool waits_for_continue = false;  // Expect: 100-continue
  RequestWishes wishes;
  bool strict = false;         // what the container would ignore is refused
  bool may_translate = false;  // JSON-to-SSE, if the client asks for a stream
};

// How far an exchange has come; for the access log and the metrics.
enum class ExchangeStage {
  kBody,       // the request's body is read, as far as needed to know its service
  kHeld,       // it waits for its service to become READY
  kConnect,    // a connection to the backend is opened, and the request sent
  kFirstByte,  // the backend has the request, or is being sent the rest; no head yet
  kAnswer,     // the answer is relayed
};
std::string_view ToString(ExchangeStage stage);  // "body", "held", ...

class Exchange {
 public:
  // The worker, the client and the times, which it fills in, outlive the exchange.
  Exchange(Worker& worker, ExchangeClient& client, ExchangeRequest request, ExchangeTimes& times);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // Once. OK: the answer was written to its end. Otherwise, unless answer_begun(), the client has
  // been told nothing yet; if it was, the answer was cut (ExchangeClient::FailAnswer).
  transport::Task<absl::Status> Run();

  // Ends the exchange with `why`, in whatever it is doing: the upstream is closed at once, and Run
  // returns soon. The first call wins. From other tasks of the worker only, never from inside Run.
  void Cancel(absl::Status why);

  // Null until it is chosen.
  const routing::Service* service() const { return routing_.service(); }
  ExchangeStage stage() const { return answer_status() != 0 ? ExchangeStage::kAnswer : stage_; }
  bool answer_begun() const { return answer_begun_; }
  int answer_status() const { return relay_.has_value() ? relay_->status() : 0; }
  // After Run, if answer_begun or OK: the status that the client got. A stream that was begun early
  // is a 200, whatever came later.
  int told_status() const { return heartbeat_.has_begun_stream() ? 200 : answer_status(); }
  // Which part of the request chose the service: "path", "header", "query", "api", "model"; "none"
  // when it was the only one; empty while none is chosen.
  std::string_view selector() const { return routing_.chosen_by(); }
  uint64_t body_bytes() const { return body_.bytes(); }  // of the request, read so far
  uint64_t answer_bytes() const { return relay_.has_value() ? relay_->bytes() : 0; }

 private:
  transport::Task<absl::Status> HoldBody();
  bool MustKeepMore() const;
  absl::Status CheckService();
  transport::Task<absl::Status> AwaitService();
  absl::Duration ColdStartWait() const;
  BodyRules Rules() const;
  bool WantsEvents() const { return request_.may_translate && routing_.keys().stream(); }
  transport::Task<absl::Status> SendRequest();
  void LimitTime();
  transport::Task<absl::Status> Connect();
  transport::Task<void> Upload();
  transport::Task<absl::Status> SendKept();
  transport::Task<void> EndUpload();
  absl::Status Reason(absl::Status status) const;
  void Report(const absl::Status& status);
  void Recycle();

  Worker& worker_;
  ExchangeClient& client_;
  const ExchangeRequest request_;
  ExchangeTimes& times_;
  std::shared_ptr<const RoutingSnapshot> snapshot_;  // pins the service
  std::shared_ptr<const contract::SecretAutomaton> secrets_;
  RequestRouting routing_;
  RequestBody body_;
  std::shared_ptr<ExchangeCounts> counted_;  // where this exchange counts as in flight

  ExchangeStage stage_ = ExchangeStage::kBody;
  Heartbeat heartbeat_;
  transport::Signal wake_up_;  // while held

  spool::KeptBody kept_;        // the beginning of the body, where it came in several pieces
  std::string_view beginning_;  // the same, if it is in memory, or the client's only piece

  base::ExchangeTimeouts timeouts_;
  std::optional<transport::Deadline> total_deadline_;  // only where there is such a limit
  std::unique_ptr<upstream::UpstreamConnection> upstream_;
  upstream::BodyCoder coder_{false};
  bool uploading_ = false;  // Upload runs beside Run
  transport::Signal upload_ended_;
  absl::Status upload_error_;  // what Upload found: the request must not run
  absl::Status cancelled_;
  std::optional<AnswerRelay> relay_;
  bool answer_begun_ = false;
};

}  // namespace tao::gateway
