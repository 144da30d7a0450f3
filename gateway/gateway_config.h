#pragma once

// The gateway's settings. Every limit has a reason; change one when its reason does not hold for
// you.

#include <absl/time/time.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "gateway/http/head.h"
#include "gateway/request_schema.h"
#include "gateway/spool/spool.h"
#include "gateway/upstream/upstream_config.h"
#include "server/contract/contracts.h"

namespace tao::gateway {

struct GatewayConfig {
  // Where HTTP is served: HOST:PORT, an IPv6 address in brackets. Port 0 takes a free one
  // (Gateway::port says which). Loopback unless the operator says otherwise: there is no
  // authentication here.
  std::string listen = "127.0.0.1:8000";

  // Where /metrics, /livez and /readyz are served for the operator, likewise. Empty: nowhere.
  std::string admin_listen;

  // Where the access log goes, one JSON line for each exchange: a file, or "-" for stderr. Empty:
  // to the process's log, as far as its level allows.
  std::string access_log;

  // Threads, each with its own connections. 0: one for each hardware thread.
  int workers = 0;

  // How many connections clients may have, in all and from one address (an IPv6 one: its /64).
  // More: 503 overflow, and closed. 0: what the descriptor limit allows; three quarters of it.
  size_t max_connections = 0;
  size_t max_connections_per_client = 0;

  // The largest request body. Larger: 413, before it is read where Content-Length says so.
  uint64_t max_body_bytes = uint64_t{2} << 30;

  // Where bodies are kept whose `model` is needed to choose the service and comes late.
  spool::SpoolConfig spool;

  // From the first byte of a request head (for a new connection: from its start) to its last. 408.
  absl::Duration head_timeout = absl::Seconds(30);

  // How long a connection may stay unused between two requests. Longer than the clients' own pools
  // keep theirs (httpx 5 s, undici 4 s), so that it is they who close first.
  absl::Duration idle_timeout = absl::Seconds(75);

  // Between two reads of a request body. 408.
  absl::Duration body_timeout = absl::Seconds(60);

  // How long a client may leave an answer unread before its exchange is given up.
  absl::Duration write_timeout = absl::Seconds(60);

  // How long a request waits for its service to become READY, unless it says so itself (Prefer:
  // wait=N). Zero: it is refused at once, with Retry-After.
  absl::Duration cold_start_wait = absl::ZeroDuration();
  // The longest such wait, whatever a request says. Node's fetch gives up after 300 s without a
  // head.
  absl::Duration max_cold_start_wait = absl::Seconds(290);
  // How many requests wait in this way at the same time. More: 503 overflow.
  size_t max_held_requests = 1024;

  // A client that asked for a stream gets its head and a comment after this time, whatever the
  // backend will say. Until then an error still has its own status.
  absl::Duration early_stream_after = absl::Seconds(20);
  // Then, and in a silent stream, how often a comment is sent. Load balancers cut after 60 s.
  absl::Duration heartbeat_interval = absl::Seconds(15);

  // When draining: how long new connections are still taken after /readyz has fallen, for load
  // balancers to notice.
  absl::Duration drain_notice = absl::ZeroDuration();

  // What /archs/{network_arch}/schema and /services/{job_id}/schema answer.
  RequestSchemas request_schemas;

  // What requests are held to. Null: any body passes.
  std::shared_ptr<const contract::Contracts> contracts;
  // What the container would ignore is refused, for every request (X-TAO-Strict: for one).
  bool strict = false;

  http::HeadLimits head_limits;
  upstream::UpstreamConfig upstream;
};

}  // namespace tao::gateway
