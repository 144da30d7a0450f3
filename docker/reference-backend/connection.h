#pragma once

// One client's TCP connection: blocking reads and writes of one thread, and the question whether
// the client is still there. The socket is the Server's (server.h), which shuts it down from
// another thread to end every call here.

#include <atomic>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "docker/reference-backend/behaviour.h"

namespace tao::reference_backend {

struct RequestHead {
  std::string method;
  std::string target;  // as sent
  bool http_1_0 = false;
  std::vector<std::pair<std::string, std::string>> fields;  // names in lower case

  // The path of the target, without its query.
  std::string_view Path() const { return std::string_view(target).substr(0, target.find('?')); }
  // The first field called `name`; null when there is none.
  const std::string* Find(std::string_view name) const;
  // How many fields are called `name`.
  size_t Count(std::string_view name) const;
  // Whether the field's comma-separated list has `token`, in whatever case.
  bool HasToken(std::string_view name, std::string_view token) const;
};

enum class HeadOutcome {
  kComplete,
  kClosed,     // the client left, or was idle too long, between two requests
  kLeft,       // the client left within the head
  kMalformed,  // answer 400
  kTooLarge,   // answer 431
};

class Connection {
 public:
  // `stopping` is set before the server shuts the socket down.
  Connection(int socket, const std::atomic<bool>& stopping);

  // Blocks for the next head; `idle_limit` is the longest wait for its first byte.
  HeadOutcome ReadHead(RequestHead& head, std::optional<Milliseconds> idle_limit);

  // The bytes that have arrived and are not consumed; blocks until there are some. Empty: the
  // client ended its side. Valid until the next call.
  std::string_view Peek();
  void Consume(size_t bytes) { begin_ += bytes; }

  // Blocks until all of `text` is with the kernel. False: the client left.
  bool Send(std::string_view text);

  // Blocks for `duration`. False: the client left meanwhile. A client that has ended only its
  // sending side counts as gone too, as it does for uvicorn.
  bool WaitWhileConnected(Milliseconds duration);

  // After an answer that came before the request's end: ends our side, and takes in what the client
  // still sends, so that no reset destroys the answer on its way. Werkzeug does the same.
  void EndAndDrain();

  bool stopping() const { return stopping_; }

 private:
  // Reads once more into the buffer. False: end, error, or no room.
  bool Fill();

  const int socket_;
  const std::atomic<bool>& stopping_;
  std::vector<char> buffer_;
  size_t begin_ = 0;  // of what is not consumed
  size_t end_ = 0;
};

}  // namespace tao::reference_backend
