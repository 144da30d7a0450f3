#pragma once

// The gateway's door for the API: a chat completion that did not come over HTTP. It runs on a
// worker, through the same resolver, scanner and upstream code as an HTTP request (design,
// Gateway).

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <memory>
#include <string>
#include <vector>

#include "gateway/infer_body.h"
#include "server/routing/selector.h"

namespace tao::gateway {

// Pieces of an answer are at most this long.
inline constexpr size_t kMaxInferPieceBytes = 1024 * 1024;

struct InferCall {
  routing::Selector selector;  // without the body's `model`, which is one more term
  InferBody body;              // JSON
  bool strict = false;         // what the container would ignore is refused
  // What is left of the caller's deadline now. InfiniteDuration: none.
  absl::Duration time_left = absl::InfiniteDuration();
};

struct InferHead {
  std::string content_type;
  std::string job_id;
  std::string network_arch;
  std::string request_id;
  std::vector<std::string> notices;  // of the request: what the container ignores or decides
};

// Gets the answer. Called on a worker's thread, one call after the other: it must not block.
class InferReceiver {
 public:
  virtual ~InferReceiver() = default;
  // The service answers with a 200; once, before any data.
  virtual void OnHead(InferHead head) = 0;
  // Not called again before InferStream::ReadyForMore was.
  virtual void OnData(std::string piece) = 0;
  // The last call, once. Without OnHead before it, an error of the gateway or of the service
  // (base::TokenOf, base::DetailsOf say more); after it, an error means that the answer is cut off.
  virtual void OnEnd(absl::Status status) = 0;
};

class InferExchange;
class Worker;

// The caller's end of a call. Thread-safe; must not be used after its Gateway was destroyed. After
// OnEnd nothing that is called here has an effect.
class InferStream {
 public:
  InferStream(Worker& worker, std::weak_ptr<InferExchange> exchange);

  // The receiver can take the next piece: once for each OnData, from it or later.
  void ReadyForMore();
  // The caller has lost interest: the upstream is closed, OnEnd(CANCELLED) comes soon.
  void Cancel();

 private:
  Worker& worker_;
  const std::weak_ptr<InferExchange> exchange_;
};

}  // namespace tao::gateway
