#include "server/platforms/port_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tao::platforms {
namespace {

using testing::ElementsAre;

TEST(ListenersOnTest, FindsTheSocketsThatListen) {
  const std::string table =
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
      "inode\n"
      "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
      "111 1 0 100 0 0 10 0\n"
      "   1: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
      "222 1 0 100 0 0 10 0\n"
      "   2: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 "
      "333 1 0 100 0 0 10 0\n";
  EXPECT_THAT(ListenersOn(table, 8080), ElementsAre(111U));
  EXPECT_THAT(ListenersOn(table, 8081), ElementsAre(222U));
  EXPECT_THAT(ListenersOn(table, 50000), ElementsAre());
  EXPECT_THAT(ListenersOn("", 8080), ElementsAre());
}

}  // namespace
}  // namespace tao::platforms
