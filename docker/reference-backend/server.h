#pragma once

// The listening socket, and a thread for each connection. Of the main thread: Start after Listen,
// then Stop, once. Destroying a started server stops it.

#include <atomic>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "docker/reference-backend/handler.h"

namespace tao::reference_backend {

class Server {
 public:
  Server() = default;
  ~Server() { Stop(); }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Binds 0.0.0.0:`port` and listens. The errno when that fails, EADDRINUSE above all.
  std::optional<int> Listen(uint16_t port);
  uint16_t port() const { return port_; }  // the bound one, also when Listen was asked for 0

  void Start(Handler& handler);

  // Takes no more connections, ends those there are wherever they stand, and joins the threads.
  void Stop();

 private:
  struct Client {
    int socket = -1;  // -1 once it is closed
    bool done = false;
    std::thread thread;
  };

  void AcceptLoop(Handler& handler);
  void Run(Handler& handler, Client& client, int64_t number, const std::string& peer);
  void JoinDone();

  int listener_ = -1;
  uint16_t port_ = 0;
  std::thread acceptor_;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;           // of a Client's socket and done
  std::list<Client> clients_;  // the acceptor's; Stop's, once the acceptor has ended
};

}  // namespace tao::reference_backend
