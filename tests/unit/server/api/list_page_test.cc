#include "server/api/list_page.h"

namespace tao::api {
namespace {

using registry::ServiceRecord;

ServiceRecord Ready(const std::string& job_id, int created_s, int started_s) {
  ServiceRecord record;
  record.job_id = job_id;
  record.phase = routing::Phase::kReady;
  record.created_at = absl::FromUnixSeconds(created_s);
  record.started_at = absl::FromUnixSeconds(started_s);
  return record;
}

pb::ListRequest Page(int size, const std::string& token = "") {
  pb::ListRequest request;
  request.set_page_size(size);
  request.set_page_token(token);
  return request;
}

// As Registry::List gives them.
registry::ServiceList Listed(std::vector<ServiceRecord> records) {
  registry::ServiceList listed;
  for (ServiceRecord& record : records) {
    listed.push_back(std::make_shared<const ServiceRecord>(std::move(record)));
  }
  return listed;
}

std::string Ids(const pb::ListResponse& response) {
  std::string ids;
  for (const pb::Service& service : response.services()) ids += service.job_id() + " ";
  return ids;
}

TEST(ListPageTest, PagesInTheOrderOfCreationAndEnds) {
  const auto records = Listed({Ready("a", 1, 2), Ready("b", 1, 1), Ready("c", 3, 3)});
  const auto first = ListPage(Page(2), records, "");
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(Ids(*first), "a b ");
  const auto second = ListPage(Page(2, first->next_page_token()), records, "");
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(Ids(*second), "c ");
  EXPECT_EQ(second->next_page_token(), "");
}

TEST(ListPageTest, AServiceThatGoesBetweenPagesMovesNoOther) {
  auto records = Listed({Ready("a", 1, 1), Ready("b", 2, 2), Ready("c", 3, 3)});
  const auto first = ListPage(Page(2), records, "");
  ASSERT_TRUE(first.ok()) << first.status();
  records.erase(records.begin(), records.begin() + 2);  // the one that the token names, too
  const auto second = ListPage(Page(2, first->next_page_token()), records, "");
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(Ids(*second), "c ");
}

TEST(ListPageTest, ForeignEntriesWithoutATimeArePagedToo) {
  ServiceRecord foreign = Ready("f", 0, 0);
  foreign.created_at = absl::InfinitePast();
  const auto records = Listed({foreign, Ready("a", 1, 1)});
  const auto first = ListPage(Page(1), records, "");
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(Ids(*first), "f ");
  const auto second = ListPage(Page(1, first->next_page_token()), records, "");
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(Ids(*second), "a ");
}

TEST(ListPageTest, LatestIsTheOneThatWasStartedLastOfThoseThatRun) {
  ServiceRecord launching = Ready("launching", 9, 0);
  launching.started_at = absl::InfinitePast();
  ServiceRecord failed = Ready("failed", 1, 8);
  failed.phase = routing::Phase::kFailed;
  const auto page =
      ListPage(Page(1), Listed({failed, Ready("a", 1, 7), Ready("b", 2, 5), launching}), "");
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->latest(), "a");
  EXPECT_EQ(ListPage(Page(1), Listed({failed, launching}), "")->latest(), "");
}

TEST(ListPageTest, APageStaysSmallEnoughForADefaultClient) {
  std::vector<ServiceRecord> records;
  for (int i = 0; i < 50; ++i) {
    records.push_back(Ready("job-" + std::to_string(i), i, i));
    records.back().last_log_lines.assign(200, std::string(1000, 'x'));
  }
  const size_t count = records.size();
  const registry::ServiceList listed = Listed(std::move(records));
  size_t seen = 0;
  for (std::string token;;) {
    const auto page = ListPage(Page(kMaxPageSize, token), listed, "");
    ASSERT_TRUE(page.ok()) << page.status();
    ASSERT_GT(page->services_size(), 0);
    EXPECT_LT(page->ByteSizeLong(), 4u << 20);
    seen += static_cast<size_t>(page->services_size());
    token = page->next_page_token();
    if (token.empty()) break;
  }
  EXPECT_EQ(seen, count);
}

TEST(ListPageTest, RefusesSizesAndTokensThatCannotBe) {
  for (const pb::ListRequest& request :
       {Page(-1), Page(kMaxPageSize + 1), Page(1, "nonsense"), Page(1, "x.y")}) {
    EXPECT_EQ(ListPage(request, {}, "").status().code(), absl::StatusCode::kInvalidArgument)
        << request.ShortDebugString();
  }
}

}  // namespace
}  // namespace tao::api
