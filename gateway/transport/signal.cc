#include "gateway/transport/signal.h"

#include <boost/asio/post.hpp>
#include <utility>

namespace tao::transport {

void Signal::Set() {
  set_ = true;
  if (waiter_) net::post(executor_, std::exchange(waiter_, nullptr));
}

Task<void> Signal::Wait() {
  if (set_) co_return;
  auto park = [this](auto handler) {
    waiter_ = [parked = std::move(handler)]() mutable { std::move(parked)(); };
  };
  co_await net::async_initiate<const net::use_awaitable_t<Executor>, void()>(
      park, net::use_awaitable_t<Executor>());
}

}  // namespace tao::transport
