#include "server/registry/registry_file_plan.h"

#include <gmock/gmock.h>

namespace tao::registry {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

using Ids = std::set<std::string, std::less<>>;

struct PlanCase {
  std::string name;
  std::string file;  // job_ids in the file, one letter each; "-": there is no file
  Ids published, in_file, vanished, withdrawn;
  std::string want_file;  // job_ids in it once it is written; "=": nothing to write
  std::string want_vanished;
  std::string want_foreign;
};
class PlanTest : public testing::TestWithParam<PlanCase> {};

TEST_P(PlanTest, OneLookAtTheFile) {
  const PlanCase& test = GetParam();
  RegistryFile::Reading reading = {.content = {}, .missing = test.file == "-"};
  SyncKnowledge known = {
      .published = {},
      .in_file = test.in_file,
      .vanished = test.vanished,
      .is_withdrawn = [&](const std::string& job_id) { return test.withdrawn.contains(job_id); }};
  for (const std::string& job_id : test.published) {
    known.published[job_id] = {.job_id = job_id, .host_url = "http://localhost:1"};
  }
  for (const char id : test.file) {
    if (id == '-') continue;
    const FileEntry entry = {.job_id = std::string(1, id), .host_url = "http://localhost:1"};
    reading.content.members.push_back(MakeMember(entry.job_id, PrintEntry(entry, "")));
  }
  const SyncPlan plan = PlanSync(reading, known);
  const auto ids = [](const std::vector<RawMember>& members) {
    std::string text;
    for (const RawMember& member : members) text += member.name == kLatestKey ? "" : member.name;
    return text;
  };
  EXPECT_EQ(plan.write.has_value() ? ids(plan.write->members) : "=", test.want_file);
  std::string vanished;
  for (const std::string& job_id : plan.newly_vanished) vanished += job_id;
  EXPECT_EQ(vanished, test.want_vanished);
  EXPECT_EQ(ids(plan.foreign), test.want_foreign);
}

INSTANTIATE_TEST_SUITE_P(
    Looks, PlanTest,
    testing::ValuesIn<PlanCase>({
        {"NoFileNoServices", "-", {}, {}, {}, {}, "=", "", ""},
        {"NoFile", "-", {"a"}, {}, {}, {}, "a", "", ""},
        {"FileGoneIsRebuilt", "-", {"a", "b"}, {"a", "b"}, {}, {}, "ab", "", ""},
        {"FileGoneDoesNotBringBackWhoIsAskedAbout", "-", {"a", "b"}, {"b"}, {"a"}, {}, "b", "", ""},
        {"NewOne", "x", {"a"}, {}, {}, {}, "xa", "", "x"},
        {"AllThere", "xa", {"a"}, {"a"}, {}, {}, "=", "", "x"},
        {"ThereAfterARestart", "xa", {"a"}, {}, {}, {}, "=", "", "x"},
        {"MissingAfterARestart", "x", {"a"}, {}, {}, {}, "xa", "", "x"},
        {"Vanished", "x", {"a"}, {"a"}, {}, {}, "=", "a", "x"},
        {"VanishedFromTheLastEntry", "", {"a"}, {"a"}, {}, {}, "=", "a", ""},
        {"OneVanishedOneNew", "x", {"a", "b"}, {"a"}, {}, {}, "xb", "a", "x"},
        {"AskedAlready", "x", {"a"}, {}, {"a"}, {}, "=", "", "x"},
        {"CameBackByItself", "xa", {"a"}, {}, {"a"}, {}, "=", "", "x"},
        {"StoppedComesBack", "xs", {}, {}, {}, {"s"}, "x", "", "x"},
        {"StoppedComesBackAlone", "s", {}, {}, {}, {"s"}, "", "", ""},
        {"WithdrawnAndNew", "s", {"a"}, {}, {}, {"s"}, "a", "", ""},
    }),
    [](const auto& test) { return test.param.name; });

TEST(PlanSyncTest, SaysWhichOfOursAreThere) {
  const FileEntry a = {.job_id = "a"}, b = {.job_id = "b"};
  const RegistryFile::Reading reading = {
      .content = {.members = {MakeMember("a", PrintEntry(a, ""))}}};
  const SyncPlan plan =
      PlanSync(reading, {.published = {{"a", a}, {"b", b}},
                         .is_withdrawn = [](const std::string&) { return false; }});
  EXPECT_THAT(plan.present, ElementsAre("a"));
  EXPECT_THAT(plan.ours, ElementsAre("a", "b"));
  EXPECT_THAT(plan.foreign, IsEmpty());
}

}  // namespace
}  // namespace tao::registry
