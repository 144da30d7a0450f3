#pragma once

// The gRPC control plane as one object: listens, serves InferenceService, Health and reflection.
//
//   auto api = ApiServer::Start({.listen = "127.0.0.1:50051", ...}, {.lifecycle = ..., ...});
//   (*api)->Shutdown(absl::Now() + absl::Seconds(30));  // on SIGTERM, before the gateway is
//   drained
//
// Thread-safe. Destroy it before what it depends on.

#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <grpcpp/server.h>

#include <memory>
#include <string>

#include "server/api/dependencies.h"
#include "server/api/health.h"
#include "server/api/inference_api.h"
#include "server/api/server_drain.h"

namespace tao::api {

struct ApiConfig {
  std::string listen = "127.0.0.1:50051";  // host:port; port 0: one that is free
  int max_receive_bytes = 256 << 20;       // of one message, a StreamInfer body above all
  // "http://127.0.0.1:8000": what gateway_url of a service begins with; empty: it has none.
  std::string gateway_base_url;
};

class ApiServer {
 public:
  // Serves when it returns. FailedPrecondition: the address cannot be listened on.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Start(const ApiConfig& config,
                                                          ApiDependencies dependencies);
  // Shuts down without waiting: what still runs is cancelled.
  ~ApiServer();

  int port() const { return port_; }

  // Health says NOT_SERVING, and streams that have no end of their own (WatchReadiness, StreamLogs)
  // end with UNAVAILABLE. Does not block. A second call does nothing.
  void BeginDrain() { drain_.Begin(); }

  // BeginDrain, and new calls are refused; others go on until `deadline`, then they are cancelled.
  // A stream whose client does not read is cancelled earlier. Blocks until all is over. A second
  // call does nothing.
  void Shutdown(absl::Time deadline);

 private:
  ApiServer(const ApiConfig& config, ApiDependencies dependencies);

  const ApiDependencies dependencies_;
  ServerDrain drain_;
  InferenceApi inference_;
  Health health_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;  // last: no call outlives it
};

}  // namespace tao::api
