#include "clients/cli/interrupt.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "clients/cli/exit_code.h"

namespace tao::cli {

Interrupt::Interrupt() {
  sigset_t taken;
  sigemptyset(&taken);
  sigaddset(&taken, SIGINT);
  sigaddset(&taken, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &taken, nullptr);
  signals_ = ::signalfd(-1, &taken, SFD_CLOEXEC);
  end_ = ::eventfd(0, EFD_CLOEXEC);
  if (signals_ < 0 || end_ < 0) {
    std::perror("tao-inference: no file descriptor for signals");
    std::exit(static_cast<int>(ExitCode::kRequestFailed));
  }
  thread_ = std::thread([this] { TakeSignals(); });
}

Interrupt::~Interrupt() {
  const uint64_t one = 1;
  // An eventfd at zero always takes a one.
  [[maybe_unused]] const ssize_t written = ::write(end_, &one, sizeof one);
  thread_.join();
  ::close(signals_);
  ::close(end_);
}

bool Interrupt::Happened() const {
  base::MutexLock lock(mutex_);
  return happened_;
}

void Interrupt::TakeSignals() {
  pollfd ready[] = {{signals_, POLLIN, 0}, {end_, POLLIN, 0}};
  while (true) {
    if (::poll(ready, 2, -1) < 0) continue;  // EINTR is all that can happen here
    if (ready[1].revents != 0) return;
    signalfd_siginfo signal{};
    if (::read(signals_, &signal, sizeof signal) == sizeof signal) OnSignal();
  }
}

void Interrupt::OnSignal() {
  base::MutexLock lock(mutex_);
  // Exit handlers would wait for calls that still run.
  if (happened_ || scopes_ == 0) ::_exit(static_cast<int>(ExitCode::kInterrupted));
  happened_ = true;
  for (grpc::ClientContext* const call : calls_) call->TryCancel();
}

Interrupt::Scope::Scope(Interrupt& interrupt, grpc::ClientContext* context)
    : interrupt_(interrupt), context_(context) {
  base::MutexLock lock(interrupt_.mutex_);
  ++interrupt_.scopes_;
  if (context_ == nullptr) return;
  interrupt_.calls_.insert(context_);
  if (interrupt_.happened_) context_->TryCancel();
}

Interrupt::Scope::~Scope() {
  base::MutexLock lock(interrupt_.mutex_);
  --interrupt_.scopes_;
  if (context_ != nullptr) interrupt_.calls_.erase(context_);
}

}  // namespace tao::cli
