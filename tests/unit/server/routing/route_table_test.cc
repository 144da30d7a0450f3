#include "server/routing/route_table.h"

#include <absl/strings/str_format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tao::routing {
namespace {

using testing::ElementsAre;

std::vector<std::string> JobIds(const std::vector<const Service*>* services) {
  std::vector<std::string> ids;
  if (services == nullptr) return ids;
  for (const Service* service : *services) ids.push_back(service->job_id);
  return ids;
}

TEST(RouteTableTest, FindsByEachKeyOldestFirst) {
  const auto table = RouteTable::Build({
      {.job_id = "job-1", .network_arch = "a", .served_names = {"/models/x", "org/x"}},
      {.job_id = "job-2", .network_arch = "b", .served_names = {"org/x", "org/x"}},
      {.job_id = "job-3", .network_arch = "a", .phase = Phase::kFailed},
  });
  ASSERT_NE(table->Find("job-2"), nullptr);
  EXPECT_EQ(table->Find("job-2")->network_arch, "b");
  EXPECT_THAT(JobIds(table->WithArch("a")), ElementsAre("job-1", "job-3"));
  EXPECT_THAT(JobIds(table->WithArch("A")), ElementsAre("job-1", "job-3"));
  EXPECT_THAT(JobIds(table->WithServedName("org/x")), ElementsAre("job-1", "job-2"));
  EXPECT_THAT(JobIds(table->WithServedName("/models/x")), ElementsAre("job-1"));
}

TEST(RouteTableTest, WhatIsNotThereIsNull) {
  for (const auto& table : {RouteTable::Build({}), RouteTable::Build({{.job_id = "job-1"}})}) {
    EXPECT_EQ(table->Find("job-2"), nullptr);
    EXPECT_EQ(table->Find(""), nullptr);
    EXPECT_EQ(table->WithArch("x"), nullptr);
    EXPECT_EQ(table->WithServedName("x"), nullptr);
  }
}

TEST(RouteTableTest, LeavesStoppedServicesOut) {
  const auto table = RouteTable::Build(
      {{.job_id = "job-1", .network_arch = "a", .phase = Phase::kStopped}, {.job_id = "job-2"}});
  EXPECT_EQ(table->Find("job-1"), nullptr);
  EXPECT_EQ(table->WithArch("a"), nullptr);
  EXPECT_EQ(table->services().size(), 1u);
}

// The keys point into the table's own copies: what Build was given may be gone, and short strings,
// which move with their owner, must not dangle (ASan watches).
TEST(RouteTableTest, OwnsItsKeysAlsoForManyServices) {
  constexpr int kServices = 10'000;
  std::shared_ptr<const RouteTable> table;
  {
    std::vector<Service> services;
    for (int i = 0; i < kServices; ++i) {
      services.push_back({.job_id = absl::StrFormat("%d", i),
                          .network_arch = absl::StrFormat("a%d", i % 7),
                          .served_names = {absl::StrFormat("org/%d", i)}});
    }
    table = RouteTable::Build(std::move(services));
  }
  for (int i = 0; i < kServices; i += 97) {
    const std::string id = absl::StrFormat("%d", i);
    ASSERT_NE(table->Find(id), nullptr) << id;
    EXPECT_EQ(table->Find(id)->job_id, id);
    EXPECT_THAT(JobIds(table->WithServedName("org/" + id)), ElementsAre(id));
  }
  EXPECT_EQ(table->WithArch("a0")->size(), (kServices + 6) / 7);
}

TEST(TlsNameOf, IsTheAuthoritysHost) {
  const auto name_of = [](const std::string& host, const std::string& authority) {
    return std::string(TlsNameOf(Backend{.host = host, .authority = authority}));
  };
  EXPECT_EQ(name_of("h.example", ""), "h.example");
  EXPECT_EQ(name_of("::1", ""), "::1");
  EXPECT_EQ(name_of("127.0.0.1", "localhost:8443"), "localhost");
  EXPECT_EQ(name_of("127.0.0.1", "job.example"), "job.example");
  EXPECT_EQ(name_of("127.0.0.1", "[2001:db8::1]:443"), "2001:db8::1");
  EXPECT_EQ(name_of("127.0.0.1", "2001:db8::1"), "2001:db8::1");
}

}  // namespace
}  // namespace tao::routing
