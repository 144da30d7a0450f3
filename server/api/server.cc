#include "server/api/server.h"

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "server/base/mutex.h"
#include "server/base/strings.h"

namespace tao::api {
namespace {

// A client that follows a stream for hours must be allowed to ask whether the connection lives;
// gRPC's default (one ping in 5 minutes) would cut it off for "too many pings".
constexpr int kMinPingIntervalMs = 10'000;

// How long a stream that is told of the drain may take to end.
constexpr absl::Duration kLastWords = absl::Seconds(1);

}  // namespace

ApiServer::ApiServer(const ApiConfig& config, ApiDependencies dependencies)
    : dependencies_(std::move(dependencies)),
      inference_(config.gateway_base_url, dependencies_, drain_),
      health_(*dependencies_.hub, drain_) {}

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Start(const ApiConfig& config,
                                                            ApiDependencies dependencies) {
  std::unique_ptr<ApiServer> api(new ApiServer(config, std::move(dependencies)));
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  builder.AddListeningPort(config.listen, grpc::InsecureServerCredentials(), &api->port_);
  builder.RegisterService(&api->inference_);
  builder.RegisterService(&api->health_);
  builder.SetMaxReceiveMessageSize(config.max_receive_bytes);
  // With SO_REUSEPORT a second daemon would share our port in silence, and take half of our calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinPingIntervalMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  api->server_ = builder.BuildAndStart();
  if (api->server_ == nullptr || api->port_ <= 0) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "gRPC API: cannot listen on %s: the address is in use, is not one of this host, or needs "
        "more rights. Stop what listens there, or choose another address (port 0: any free one).",
        base::Quoted(config.listen)));
  }
  return api;
}

ApiServer::~ApiServer() { Shutdown(absl::Now()); }

void ApiServer::Shutdown(absl::Time deadline) {
  BeginDrain();
  if (server_ == nullptr) return;
  base::Mutex mutex;
  base::CondVar changed;
  bool over = false;
  std::thread last_words([&] {
    const absl::Time limit = std::min(deadline, absl::Now() + kLastWords);
    base::MutexLock lock(mutex);
    while (!over && absl::Now() < limit) changed.WaitWithTimeout(mutex, limit - absl::Now());
    if (!over) drain_.CancelRest();
  });
  server_->Shutdown(absl::ToChronoTime(deadline));
  {
    base::MutexLock lock(mutex);
    over = true;
    changed.SignalAll();
  }
  last_words.join();
}

}  // namespace tao::api
