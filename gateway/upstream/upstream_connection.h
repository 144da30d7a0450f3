#pragma once

// One connection to a backend: connects, sends a request, reads its answer. Every failure becomes
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
#include "gateway/upstream/upstream_config.h"
#include "server/routing/route_table.h"

namespace tao::upstream {

class UpstreamConnection {
 public:
  // `config` outlives the connection. Of the service only names are kept.
  UpstreamConnection(transport::net::io_context& io, transport::DeadlineWheel& wheel,
                     const UpstreamConfig& config, const routing::Service& service);

  // Opens the connection: the addresses of the host one after the other, within the connect
  // time-out.
  transport::Task<absl::Status> Connect();

  // Sends everything. Errors: upstream_reset, upstream_timeout. `accepted_nothing`, if wanted: the
  // kernel took no byte, so that the backend cannot have seen the request.
  transport::Task<absl::Status> Send(transport::Gather text, bool* accepted_nothing = nullptr);

  // Reads the head of the final answer; interim ones (1xx) are swallowed. The first-byte time-out
  // runs from the last Send on.
  transport::Task<absl::Status> ReadHead();
  // After ReadHead. Valid until Finish.
  const http::ResponseHead& head() const { return parser_.head(); }
  const http::Forwarding& forwarding() const { return forwarding_; }
  const http::BodyFraming& framing() const { return body_.framing(); }

  // The next bytes of the answer, valid until the next call. An answer that ends early is an error,
  // never a last piece.
  transport::Task<absl::Status> ReadBody(transport::BodyPiece* piece);
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
  struct Lookup;

  transport::Task<absl::Status> FindAddresses(std::vector<transport::Tcp::endpoint>* endpoints);
  transport::Task<boost::system::error_code> ConnectTo(const transport::Tcp::endpoint& endpoint);
  transport::Task<absl::Status> Fill(absl::Duration deadline, std::string_view awaited);
  absl::Status ConnectError(std::string_view why) const;
  absl::Status ReadError(const transport::IoResult& result, std::string_view awaited) const;
  absl::Status ProtocolError(std::string_view why) const;

  transport::net::io_context& io_;
  transport::DeadlineWheel& wheel_;
  const UpstreamConfig& config_;
  const std::string job_id_;
  const std::string host_;
  const int port_;

  // While connecting.
  std::optional<transport::TcpSocket> socket_;
  std::shared_ptr<Lookup> lookup_;
  bool connect_timed_out_ = false;
  bool aborted_ = false;
  transport::Deadline connect_deadline_;

  std::optional<transport::Connection> connection_;
  transport::InputBuffer input_;
  http::ResponseHeadParser parser_;
  http::Forwarding forwarding_;
  http::BodyReader body_;
  absl::Duration first_byte_deadline_ = absl::InfiniteDuration();
  bool answered_ = false;  // the head of this answer is complete
  bool was_used_ = false;  // has carried a request before
};

}  // namespace tao::upstream
