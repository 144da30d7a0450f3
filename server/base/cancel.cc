#include "server/base/cancel.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

namespace tao::base {

CancelToken::CancelToken() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ < 0)
    std::abort();  // out of descriptors: the limit is raised at start, so this is our bug
}

CancelToken::~CancelToken() { close(fd_); }

void CancelToken::Cancel() {
  if (cancelled_.exchange(true, std::memory_order_acq_rel)) return;
  const uint64_t one = 1;
  static_cast<void>(write(fd_, &one, sizeof(one)) == sizeof(one));  // cannot fail: the counter is 0
}

bool CancelledWithin(const CancelToken& token, absl::Duration wait) {
  pollfd waiting{.fd = token.fd(), .events = POLLIN, .revents = 0};
  poll(&waiting, 1, static_cast<int>(absl::ToInt64Milliseconds(wait)));
  return token.cancelled();
}

}  // namespace tao::base
