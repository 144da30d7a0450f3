#pragma once

// The operator's own door: /metrics, /livez and /readyz on an address of their own, so that what
// clients do can neither reach nor delay it. One thread, with the gateway's own HTTP code; it
// answers until the gateway has ended, while it drains too.
//
// Thread-safe.

#include <absl/container/flat_hash_set.h>
#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "gateway/gateway_config.h"
#include "gateway/http/http_date.h"
#include "gateway/listener.h"
#include "gateway/local_reply.h"
#include "gateway/metrics.h"
#include "gateway/transport/asio.h"
#include "gateway/transport/deadline_wheel.h"

namespace tao::gateway {

// What the admin listener asks of the gateway. Called on its thread; may block for some seconds.
struct AdminSources {
  // nullopt: the workers did not all answer in time, or have ended.
  absl::AnyInvocable<std::optional<GatewayMetrics>()> metrics;
  // The same answer as the gateway's own /readyz.
  absl::AnyInvocable<LocalReply()> readiness;
};

class Admin {
 public:
  // Listens on config.admin_listen, and serves. `config` outlives it. Errors: those of
  // OpenListeningSockets.
  static absl::StatusOr<std::unique_ptr<Admin>> Start(const GatewayConfig& config,
                                                      AdminSources sources);
  // Cuts what it serves.
  ~Admin();

  const std::string& address() const { return address_; }
  uint16_t port() const { return port_; }

 private:
  class Session;

  Admin(const GatewayConfig& config, AdminSources sources, const ListeningSockets& sockets);

  void Serve(transport::TcpSocket socket);
  // Ends the thread once it is to stop and has nothing left to do.
  void EndWhenIdle();
  LocalReply Answer(const http::RequestHead& head);

  const GatewayConfig& config_;
  AdminSources sources_;
  const std::string address_;
  const uint16_t port_;
  transport::EventLoop io_;
  transport::DeadlineWheel wheel_{io_};
  http::HttpDate date_;
  absl::flat_hash_set<Session*> sessions_;
  bool stopping_ = false;
  Listener listener_;
  std::thread thread_;
};

}  // namespace tao::gateway
