#include "gateway/transport/hangup_watch.h"

#include <sys/epoll.h>

#include <array>
#include <cstdlib>
#include <utility>

namespace tao::transport {

HangupWatch::HangupWatch(net::io_context& io) : epoll_(io) {
  const int fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) std::abort();  // no descriptor for a worker's own loop: it cannot exist
  epoll_.assign(fd);
  Wait();
}

HangupWatch::Watched::Watched(HangupWatch& watch, int fd, absl::AnyInvocable<void()> on_hangup)
    : watch_(watch), fd_(fd), id_(watch.next_id_++), on_hangup_(std::move(on_hangup)) {
  watch_.watched_.emplace(id_, this);
  epoll_event event = {};
  event.events = EPOLLRDHUP | EPOLLONESHOT;
  event.data.u64 = id_;
  // Can fail for lack of kernel memory only; then a reset still shows at the next read or write.
  ::epoll_ctl(watch_.epoll_.native_handle(), EPOLL_CTL_ADD, fd_, &event);
}

HangupWatch::Watched::~Watched() {
  watch_.watched_.erase(id_);
  if (watch_.epoll_.is_open()) {
    ::epoll_ctl(watch_.epoll_.native_handle(), EPOLL_CTL_DEL, fd_, nullptr);
  }
}

void HangupWatch::Close() {
  boost::system::error_code ignored;
  epoll_.close(ignored);
}

void HangupWatch::Wait() {
  epoll_.async_wait(net::posix::descriptor_base::wait_read,
                    [this](const boost::system::error_code& error) {
                      if (error) return;  // closed
                      OnEvents();
                      if (epoll_.is_open()) Wait();
                    });
}

void HangupWatch::OnEvents() {
  std::array<epoll_event, 64> events;
  const int count = ::epoll_wait(epoll_.native_handle(), events.data(), events.size(), 0);
  for (int i = 0; i < count; ++i) {
    const auto found = watched_.find(events[static_cast<size_t>(i)].data.u64);
    if (found == watched_.end() || !found->second->on_hangup_) continue;
    std::exchange(found->second->on_hangup_, nullptr)();
  }
}

}  // namespace tao::transport
