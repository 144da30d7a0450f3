#pragma once

// InferenceService: parse, one call of a part, convert. No method blocks the thread that gRPC calls
// it on; what may block (Start, Stop, logs) runs on bounded pools. Streaming calls, and those that
// wait, are classes of their own. Thread-safe.

#include <atomic>
#include <string>

#include "server/api/dependencies.h"
#include "server/api/server_drain.h"
#include "server/api/stream_logs.h"
#include "server/base/work_pool.h"
#include "tao/inference/v1/inference.grpc.pb.h"

namespace tao::api {

namespace pb = ::tao::inference::v1;

class InferenceApi : public pb::InferenceService::CallbackService {
 public:
  // Both outlive it. `gateway_base_url` as in ApiConfig.
  InferenceApi(std::string gateway_base_url, const ApiDependencies& dependencies,
               ServerDrain& drain);

  grpc::ServerUnaryReactor* Start(grpc::CallbackServerContext* context,
                                  const pb::StartRequest* request,
                                  pb::StartResponse* response) override;
  grpc::ServerUnaryReactor* Stop(grpc::CallbackServerContext* context,
                                 const pb::StopRequest* request,
                                 pb::StopResponse* response) override;
  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const pb::ListRequest* request,
                                 pb::ListResponse* response) override;
  grpc::ServerUnaryReactor* Resolve(grpc::CallbackServerContext* context,
                                    const pb::ResolveRequest* request,
                                    pb::ResolveResponse* response) override;
  grpc::ServerWriteReactor<pb::ReadinessEvent>* WatchReadiness(
      grpc::CallbackServerContext* context, const pb::WatchReadinessRequest* request) override;
  grpc::ServerUnaryReactor* GetRequestSchema(grpc::CallbackServerContext* context,
                                             const pb::GetRequestSchemaRequest* request,
                                             pb::GetRequestSchemaResponse* response) override;
  grpc::ServerUnaryReactor* Infer(grpc::CallbackServerContext* context,
                                  const pb::InferRequest* request,
                                  pb::InferResponse* response) override;
  grpc::ServerWriteReactor<pb::StreamInferResponse>* StreamInfer(
      grpc::CallbackServerContext* context, const pb::InferRequest* request) override;
  grpc::ServerUnaryReactor* CheckPlatform(grpc::CallbackServerContext* context,
                                          const pb::CheckPlatformRequest* request,
                                          pb::CheckPlatformResponse* response) override;
  grpc::ServerWriteReactor<pb::LogChunk>* StreamLogs(grpc::CallbackServerContext* context,
                                                     const pb::StreamLogsRequest* request) override;

 private:
  absl::Status DoResolve(const pb::ResolveRequest& request, pb::ResolveResponse& response) const;

  const std::string gateway_base_url_;
  const ApiDependencies& dependencies_;
  ServerDrain& drain_;
  LogStreams log_streams_;
  base::WorkPool pool_;  // of Start, Stop and CheckPlatform
};

}  // namespace tao::api
