#pragma once

// Ctrl-C and SIGTERM. While a call is under way the first one cancels it, so that the command can
// say what goes on without it; otherwise, and at the second one, the process ends with 130 at once.

#include <grpcpp/client_context.h>

#include <set>
#include <thread>

#include "server/base/mutex.h"

namespace tao::cli {

// One for each process, made before any other thread: it blocks the signals in the thread that
// makes it, which later ones inherit, and takes them in a thread of its own. Thread-safe.
class Interrupt {
 public:
  Interrupt();
  // Joins the thread; the signals stay blocked.
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  bool Happened() const;

  // While it lives, a first signal does not end the process, and cancels `context`, if there is
  // one; one that came earlier cancels it at once.
  class Scope {
   public:
    explicit Scope(Interrupt& interrupt, grpc::ClientContext* context = nullptr);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Interrupt& interrupt_;
    grpc::ClientContext* const context_;
  };

 private:
  void TakeSignals();
  void OnSignal();

  mutable base::Mutex mutex_;
  bool happened_ ABSL_GUARDED_BY(mutex_) = false;
  int scopes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::set<grpc::ClientContext*> calls_ ABSL_GUARDED_BY(mutex_);
  int signals_ = -1;  // signalfd
  int end_ = -1;      // eventfd: the destructor's word to the thread
  std::thread thread_;
};

}  // namespace tao::cli
