#pragma once

// grpc.health.v1.Health. Ours, because gRPC's default one cannot forget a name: a stopped service
// must be NOT_FOUND. Names: "", "tao.inference.v1.InferenceService" and "gateway" are SERVING until
// the server drains; a job_id is SERVING in phase READY. Thread-safe.

#include <grpcpp/support/server_callback.h>

#include <string>

#include "grpc/health/v1/health.grpc.pb.h"
#include "server/api/server_drain.h"
#include "server/readiness/hub.h"

namespace tao::api {

class Health : public grpc::health::v1::Health::CallbackService {
 public:
  // Both outlive it.
  Health(readiness::Hub& hub, ServerDrain& drain) : hub_(hub), drain_(drain) {}

  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const grpc::health::v1::HealthCheckRequest* request,
                                  grpc::health::v1::HealthCheckResponse* response) override;

  // As the protocol wants it: the present status, then each change; SERVICE_UNKNOWN for a name that
  // is not known or was stopped, and the stream stays open.
  grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext* context,
      const grpc::health::v1::HealthCheckRequest* request) override;

 private:
  readiness::Hub& hub_;
  ServerDrain& drain_;
};

}  // namespace tao::api
