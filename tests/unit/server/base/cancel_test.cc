#include "server/base/cancel.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <thread>

namespace tao::base {
namespace {

bool Readable(int fd, int timeout_ms) {
  pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&entry, 1, timeout_ms) == 1 && (entry.revents & POLLIN) != 0;
}

TEST(CancelTokenTest, WakesWhoeverPollsAndStaysSet) {
  CancelToken token;
  EXPECT_FALSE(token.cancelled());
  EXPECT_FALSE(Readable(token.fd(), 0));
  std::thread other([&token] { token.Cancel(); });
  EXPECT_TRUE(Readable(token.fd(), 5000));
  other.join();
  EXPECT_TRUE(token.cancelled());
  token.Cancel();
  EXPECT_TRUE(Readable(token.fd(), 0)) << "the second reader must see it too";
}

}  // namespace
}  // namespace tao::base
