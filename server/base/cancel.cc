#include "server/base/cancel.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

namespace tao::base {

CancelToken::CancelToken() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ < 0) std::abort();  // out of descriptors: the limit is raised at start, so this is our bug
}

CancelToken::~CancelToken() { close(fd_); }

void CancelToken::Cancel() {
  if (cancelled_.exchange(true, std::memory_order_acq_rel)) return;
  const uint64_t one = 1;
  static_cast<void>(write(fd_, &one, sizeof(one)) == sizeof(one));  // cannot fail: the counter is 0
}

}  // namespace tao::base
