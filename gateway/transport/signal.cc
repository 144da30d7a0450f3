#include "gateway/transport/signal.h"

#include <utility>

namespace tao::transport {

void Signal::Set() {
  set_ = true;
  if (waiter_) loop_.Resume(std::exchange(waiter_, nullptr));
}

}  // namespace tao::transport
