#pragma once

// Tells the streams that have no end of their own that the server ends. Thread-safe.

#include <grpcpp/server_context.h>

#include <atomic>
#include <memory>
#include <vector>

#include "server/base/mutex.h"

namespace tao::api {

// A stream that ends, or says something, when the server drains.
class DrainListener {
 public:
  explicit DrainListener(const grpc::CallbackServerContext& context) : context_(&context) {}
  virtual ~DrainListener() = default;

  // Once, from any thread; must not block.
  virtual void OnServerDrain() = 0;

  // Cancels the call, unless it has ended. Not from a thread of gRPC: on others nothing is called
  // back before this returns.
  void CancelCall();

 protected:
  // From OnDone, after which gRPC's context is gone.
  void CallEnded();

 private:
  base::Mutex context_mutex_;
  const grpc::CallbackServerContext* context_ ABSL_GUARDED_BY(context_mutex_);
};

class ServerDrain {
 public:
  // Told at once when the drain has begun already.
  void Add(const std::shared_ptr<DrainListener>& listener);
  // A second call does nothing.
  void Begin();
  // Cancels the calls that were told and have not ended: a client that does not read cannot be told
  // of an end.
  void CancelRest();
  bool begun() const { return begun_.load(std::memory_order_acquire); }

 private:
  base::Mutex mutex_;
  std::atomic<bool> begun_ = false;  // written under mutex_
  std::vector<std::weak_ptr<DrainListener>> listeners_ ABSL_GUARDED_BY(mutex_);
  size_t sweep_at_ ABSL_GUARDED_BY(mutex_) =
      64;  // listeners that are gone are dropped at this size
};

}  // namespace tao::api
