#include "server/lifecycle/backend_of.h"

#include <gtest/gtest.h>

#include "tests/fakes/fake_platform.h"

namespace tao::lifecycle {
namespace {

// A driver whose services are dialled elsewhere than their host_url says.
class ElsewherePlatform : public fakes::FakePlatform {
 public:
  Endpoint EndpointOf(const platforms::PlatformJob& job) const override {
    Endpoint endpoint = FakePlatform::EndpointOf(job);
    endpoint.backend.host = job.job_id;
    endpoint.backend.port = 8080;
    return endpoint;
  }
};

class BackendOfTest : public testing::Test {
 protected:
  BackendOfTest() { parts_.platforms["fake"] = &platform_; }

  ElsewherePlatform platform_;
  Parts parts_;
  registry::ServiceRecord record_ = {.job_id = "job-1", .platform = "fake"};
};

TEST_F(BackendOfTest, OursIsWhereItsDriverSays) {
  record_.host_url = "http://localhost:8081";
  const routing::Backend backend = BackendOf(parts_, record_);
  EXPECT_EQ(backend.host, "job-1");
  EXPECT_EQ(backend.port, 8080);
}

TEST_F(BackendOfTest, OursHasNoneBeforeThePlatformConfirmed) {
  EXPECT_EQ(BackendOf(parts_, record_).port, 0);
}

TEST_F(BackendOfTest, AnotherToolsIsItsUrlWithLocalhostDialledAsIpv4) {
  record_.foreign = true;
  record_.host_url = "http://localhost:8081/base";
  const routing::Backend backend = BackendOf(parts_, record_);
  EXPECT_EQ(backend.host, "127.0.0.1");
  EXPECT_EQ(backend.port, 8081);
  EXPECT_EQ(backend.base_path, "/base");
  EXPECT_EQ(backend.authority, "localhost:8081");
}

TEST_F(BackendOfTest, OfAnUnknownPlatformIsItsUrl) {
  record_.platform = "elsewhere";
  record_.host_url = "https://[::1]:8443";
  const routing::Backend backend = BackendOf(parts_, record_);
  EXPECT_EQ(backend.scheme, "https");
  EXPECT_EQ(backend.host, "::1");
  EXPECT_EQ(backend.authority, "[::1]:8443");
}

TEST_F(BackendOfTest, AUrlThatCannotBeReadIsNone) {
  record_.foreign = true;
  record_.host_url = "not a url";
  EXPECT_EQ(BackendOf(parts_, record_).port, 0);
}

}  // namespace
}  // namespace tao::lifecycle
