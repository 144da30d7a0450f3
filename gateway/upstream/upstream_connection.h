#pragma once

// One connection to a backend, over TLS where its scheme is https: connects, sends a request, reads
// its answer. Every failure becomes
// the error that the client is told (upstream_connect, upstream_reset, upstream_timeout), with the
// service's name and what to do next.
//
// Worker thread only. The object outlives the tasks that it returns.

#include <absl/status/status.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/http/body_reader.h"
#include "gateway/http/framing.h"
#include "gateway/http/head_parser.h"
#include "gateway/http/hop_by_hop.h"
#include "gateway/transport/connection.h"
#include "gateway/transport/input_buffer.h"
#include "gateway/upstream/name_cache.h"
#include "gateway/upstream/tls_client.h"
#include "gateway/upstream/upstream_config.h"
#include "server/routing/route_table.h"

namespace tao::upstream {

// What the connections of one worker share.
struct UpstreamParts {
  transport::EventLoop& io;
  transport::DeadlineWheel& wheel;
  const UpstreamConfig& config;
  NameCache& names;
  TlsClient& tls;
};

class UpstreamConnection {
 public:
  // `parts` outlive the connection. Of the service only names are kept. The time-outs are the
  // configuration's until SetTimeouts.
  UpstreamConnection(const UpstreamParts& parts, const routing::Service& service);

  // Those of the exchange that uses the connection from now on.
  void SetTimeouts(const base::ExchangeTimeouts& timeouts) { timeouts_ = timeouts; }

  // Opens the connection: the addresses of the host one after the other, each with its share of
  // what is left of the connect time-out.
  transport::Task<absl::Status> Connect();

  // Sends everything. Errors: upstream_reset, upstream_timeout. `accepted_nothing`, if wanted: the
  // kernel took no byte, so that the backend cannot have seen the request.
  transport::Task<absl::Status> Send(transport::Gather text, bool* accepted_nothing = nullptr);

  // Sends `count` bytes of a file, from `offset` on. Not over TLS (is_tls).
  transport::Task<absl::Status> SendFile(int fd, uint64_t offset, size_t count);
  bool is_tls() const { return !tls_origin_.empty(); }

  // Reads the head of the final answer; interim ones (1xx) are swallowed. The first-byte time-out
  // runs from the last Send on. At `pause`, a time of DeadlineWheel, the wait may be given up
  // without an error: has_head() is false then, and ReadHead is called again.
  transport::Task<absl::Status> ReadHead(absl::Duration pause = absl::InfiniteDuration());
  bool has_head() const { return answered_; }
  // Valid from has_head() until Finish.
  const http::ResponseHead& head() const { return parser_.head(); }
  const http::Forwarding& forwarding() const { return forwarding_; }
  const http::BodyFraming& framing() const { return body_.framing(); }

  // The next bytes of the answer, valid until the next call. An answer that ends early is an error,
  // never a last piece. At `pause` the wait may be given up: the piece is empty and not the last.
  transport::Task<absl::Status> ReadBody(transport::BodyPiece* piece,
                                         absl::Duration pause = absl::InfiniteDuration());
  // What has already arrived, without waiting; empty and not last when there is nothing.
  absl::Status TakeBody(transport::BodyPiece* piece);

  // Whether the connection could carry another request once the rest of the answer was read.
  bool MayFinish() const;
  // Makes the connection ready for another request. False when it cannot carry one: the answer was
  // not read to its end, the backend closes, or bytes came after the answer.
  [[nodiscard]] bool Finish();

  // The connection is closed at once; whatever waits on it ends with an error.
  void Abort();

  // Whether this idle connection leads to `service` as it is now, and can carry a request.
  bool Serves(const routing::Service& service);

  const std::string& job_id() const { return job_id_; }
  bool was_used() const { return was_used_; }

 private:
  // Why an address was of no use.
  struct Failure {
    std::string why;     // empty: it was
    bool final = false;  // the others will be of none either
  };

  transport::Task<absl::Status> FindAddresses(std::vector<transport::Tcp::endpoint>* endpoints);
  transport::Task<Failure> Try(transport::Tcp::endpoint endpoint);
  transport::Task<boost::system::error_code> ConnectTo(transport::Tcp::endpoint endpoint);
  transport::Task<Failure> StartTls();
  void Break();
  absl::Status AfterSend(const transport::IoResult& result);
  absl::Status BeginAnswer();
  absl::Status ConnectError(std::string_view why) const;
  absl::Status ReadError(const transport::IoResult& result, std::string_view awaited) const;
  absl::Status ProtocolError(std::string_view why) const;

  const UpstreamParts& parts_;
  const std::string job_id_;
  const std::string host_;
  const int port_;
  const std::string tls_origin_, tls_name_;  // empty: plain
  base::ExchangeTimeouts timeouts_;

  // While connecting.
  std::optional<NameCache::Waiter> lookup_;
  bool connect_timed_out_ = false;
  bool aborted_ = false;
  transport::Deadline connect_deadline_;

  std::optional<transport::Connection> connection_;
  transport::InputBuffer input_;
  http::ResponseHeadParser parser_;
  http::Forwarding forwarding_;
  http::BodyReader body_;
  absl::Duration first_byte_deadline_ = absl::InfiniteDuration();
  absl::Duration head_pause_ = absl::InfiniteDuration();  // of the ReadHead that waits
  // Between bytes: counted from the last byte on, however often the wait is given up.
  absl::Duration silence_deadline_ = absl::InfiniteDuration();
  int interim_heads_ = 0;
  bool answered_ = false;  // the head of this answer is complete
  bool was_used_ = false;  // has carried a request before
};

}  // namespace tao::upstream
