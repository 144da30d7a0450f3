#pragma once

// StreamLogs: the container's output. Reading it blocks, so each stream has a thread of a pool of
// its own; lines that come while a message is being written travel together in the next one.

#include <absl/status/status.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/api/server_drain.h"
#include "server/base/cancel.h"
#include "server/base/mutex.h"
#include "server/base/work_pool.h"
#include "server/lifecycle/lifecycle.h"
#include "tao/inference/v1/inference.pb.h"

namespace tao::api {

namespace pb = ::tao::inference::v1;

// Lines that wait for a slow reader; beyond this the container's output is read no further.
inline constexpr size_t kMaxWaitingLogBytes = 256 * 1024;
// Of one line; the rest of it is cut.
inline constexpr size_t kMaxLogLineBytes = 64 * 1024;
inline constexpr int kMaxLogStreams = 32;

// Thread-safe. Lives until OnDone and until its thread has left it.
class LogStream : public grpc::ServerWriteReactor<pb::LogChunk>,
                  public platforms::LogSink,
                  public DrainListener,
                  public std::enable_shared_from_this<LogStream> {
 public:
  // Keeps itself alive until OnDone.
  static std::shared_ptr<LogStream> Create(const grpc::CallbackServerContext& context);

  // Reads until the end; blocks. Once, on a thread that may; or End instead.
  void Run(lifecycle::Lifecycle& lifecycle, const std::string& job_id,
           const platforms::LogOptions& options);
  // No more lines follow; finishes when those that wait are written. The first one counts.
  void End(const absl::Status& status);

  bool OnLine(std::string_view line) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  void OnServerDrain() override;

 private:
  explicit LogStream(const grpc::CallbackServerContext& context) : DrainListener(context) {}
  void Pump();
  // Ends the reading, and what it waits for.
  void Interrupt();

  base::CancelToken cancel_;
  base::Mutex mutex_;
  base::CondVar drained_;
  std::vector<std::string> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
  pb::LogChunk chunk_;               // whoever set writing_ fills it
  std::shared_ptr<LogStream> self_;  // until OnDone
};

// The streams that are open, and their threads. Thread-safe.
class LogStreams {
 public:
  LogStreams() : pool_(kMaxLogStreams, kMaxLogStreams) {}

  // The stream frees itself.
  grpc::ServerWriteReactor<pb::LogChunk>* Begin(lifecycle::Lifecycle& lifecycle, ServerDrain& drain,
                                                const grpc::CallbackServerContext& context,
                                                const pb::StreamLogsRequest& request);

 private:
  std::atomic<int> open_ = 0;
  base::WorkPool pool_;
};

}  // namespace tao::api
