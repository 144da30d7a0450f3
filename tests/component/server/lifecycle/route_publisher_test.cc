#include "server/lifecycle/route_publisher.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/component/server/registry/temporary_folder.h"
#include "tests/fakes/fake_clock.h"

namespace tao::lifecycle {
namespace {

using registry::ServiceRecord;
using routing::Phase;

// A publisher whose tables take as long as the test says.
class RoutePublisherTest : public testing::Test {
 protected:
  RoutePublisherTest() {
    state_ = *registry::StateDirectory::Open(folder_.path() + "/state");
    registry_ = *registry::Registry::Open(*state_);
    parts_.registry = registry_.get();
  }

  std::unique_ptr<RoutePublisher> PublisherThatTakes(absl::Duration build, size_t many = 0) {
    return std::make_unique<RoutePublisher>(
        parts_,
        [this, build](std::shared_ptr<const routing::RouteTable>) {
          clock_.Advance(build);
          base::MutexLock lock(mutex_);
          ++tables_;
          changed_.SignalAll();
        },
        clock_, many);
  }
  int tables() {
    base::MutexLock lock(mutex_);
    return tables_;
  }
  bool WaitForTables(int count) {
    base::MutexLock lock(mutex_);
    while (tables_ < count) {
      if (changed_.WaitWithTimeout(mutex_, absl::Seconds(5))) return false;
    }
    return true;
  }

  registry::TemporaryFolder folder_;
  std::unique_ptr<registry::StateDirectory> state_;
  std::unique_ptr<registry::Registry> registry_;
  fakes::FakeClock clock_;
  Parts parts_;
  base::Mutex mutex_;
  base::CondVar changed_;
  int tables_ = 0;
};

TEST_F(RoutePublisherTest, EveryChangeHasATableBeforeAnyoneElseHearsOfIt) {
  // However long a table takes: a busy machine must not make a started service late.
  const auto publisher = PublisherThatTakes(absl::Seconds(1));
  for (int changes = 1; changes <= 3; ++changes) {
    publisher->OnChange({.phase = Phase::kReady});
    EXPECT_EQ(tables(), changes);
  }
  const auto small = PublisherThatTakes(absl::Seconds(1), RoutePublisher::kMany);
  for (int changes = 4; changes <= 6; ++changes) {
    small->OnChange({.foreign = true, .phase = Phase::kReady});
    EXPECT_EQ(tables(), changes);
  }
}

TEST_F(RoutePublisherTest, ForeignChangesShareATableWhileADearOneIsYoung) {
  const auto publisher = PublisherThatTakes(absl::Milliseconds(20));
  publisher->OnChange({.foreign = true, .phase = Phase::kReady});
  publisher->OnChange({.foreign = true, .phase = Phase::kReady});
  publisher->OnChange({.foreign = true, .phase = Phase::kLoading});
  EXPECT_EQ(tables(), 1);
  clock_.Advance(absl::Milliseconds(20));
  EXPECT_TRUE(WaitForTables(2));
}

TEST_F(RoutePublisherTest, AServiceThatLeavesIsNeverLate) {
  const auto publisher = PublisherThatTakes(absl::Milliseconds(20));
  publisher->OnChange({.foreign = true, .phase = Phase::kReady});
  for (const Phase phase : {Phase::kDraining, Phase::kStopped}) {
    const int before = tables();
    publisher->OnChange({.foreign = true, .phase = phase});
    EXPECT_EQ(tables(), before + 1);
  }
}

}  // namespace
}  // namespace tao::lifecycle
