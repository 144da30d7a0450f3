#pragma once

// One keep-alive connection of the load generator: sends a request, reads its answer, tells when it
// is there.

#include <cstdint>
#include <string>
#include <string_view>

#include "tests/bench/net.h"

namespace tao::bench {

// A whole request, as it is sent. The head is that of OpenAI's Python library.
struct RequestOptions {
  std::string service;     // the job_id; stands as `model` at the end of the body
  bool by_header = false;  // names it in X-TAO-Job-ID too
  std::string query;       // for the backend: "sse=50"
  size_t body_bytes = 2048;
};
std::string MakeRequest(const RequestOptions& options);

class LoadClient {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    // Data of the answer's body.
    virtual void OnData(LoadClient& client, std::string_view data) = 0;
    // The answer is complete; Send may follow at once.
    virtual void OnAnswer(LoadClient& client) = 0;
  };

  // Connects. Registers itself with `epoll`, as its own context.
  LoadClient(Epoll& epoll, int port, Listener& listener);
  LoadClient(const LoadClient&) = delete;
  LoadClient& operator=(const LoadClient&) = delete;

  // `request` stays valid until the answer is complete. `since`: what latency counts from.
  void Send(std::string_view request, int64_t since);
  bool busy() const { return busy_; }
  int64_t since() const { return since_; }

  // What epoll has found.
  void OnReady();

  std::string carry;  // the listener's: the beginning of what OnData has not seen the end of

 private:
  void Write();
  void Read(std::string_view bytes);
  void BeginBody();
  [[noreturn]] void Fail(std::string_view what);

  const int fd_;
  Listener& listener_;
  std::string_view unsent_;
  int64_t since_ = 0;
  bool busy_ = false;
  bool in_body_ = false;
  bool chunked_ = false;
  uint64_t body_left_ = 0;
  std::string head_;
  Dechunker dechunker_;
};

}  // namespace tao::bench
