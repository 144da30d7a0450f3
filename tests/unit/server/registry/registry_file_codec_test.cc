#include "server/registry/registry_file_codec.h"

#include <gmock/gmock.h>

#include "server/base/clock.h"
#include "tests/unit/server/registry/full_record.h"

namespace tao::registry {
namespace {

using testing::HasSubstr;

RawMember Entry(const std::string& job_id, const std::string& value) {
  return MakeMember(job_id, value);
}

// Which fields an entry of ours has, by platform.
struct PlatformCase {
  std::string name, platform, want;
};
class PlatformFieldsTest : public testing::TestWithParam<PlatformCase> {};

TEST_P(PlatformFieldsTest, EntryHasTheFieldsOfItsPlatform) {
  ServiceRecord record = FullRecord();
  record.job_id = "j";
  record.platform = GetParam().platform;
  record.started_at = absl::FromUnixSeconds(1'790'000'000) + absl::Milliseconds(999);
  std::string fields;
  const auto members = SplitObject(PrintEntry(EntryOf(record), ""));
  ASSERT_TRUE(members.ok()) << members.status();
  for (const RawMember& field : *members) {
    fields += field.name + " ";
  }
  EXPECT_EQ(fields, GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(
    Platforms, PlatformFieldsTest,
    testing::ValuesIn<PlatformCase>({
        {"LocalDocker", "local-docker",
         "job_id platform network_arch host_url docker_url host_port started_at "},
        {"LocalProcess", "local-process",
         "job_id platform platform_job_id network_arch host_url host_port started_at "},
        {"Brev", "brev",
         "job_id platform network_arch host_url docker_url host_port instance_id started_at "},
        {"Slurm", "slurm",
         "job_id platform platform_job_id network_arch host_url host_port slurm_node started_at "},
        {"Lepton", "lepton", "job_id platform platform_job_id network_arch host_url started_at "},
        {"Kubernetes", "kubernetes",
         "job_id platform platform_job_id network_arch host_url started_at "},
    }),
    [](const auto& test) { return test.param.name; });

TEST(RegistryFileCodecTest, ThePortIsWhereHostUrlLeadsButOnAnInstanceThatIsNamed) {
  ServiceRecord record;
  record.platform = "local-docker";
  record.host_port = 8081;
  record.instance_port = 8090;
  record.host_url = "http://localhost:8081";  // a tunnel to an engine on another host
  EXPECT_EQ(EntryOf(record).host_port, 8081);
  record.host_url = "http://far:8090";
  EXPECT_EQ(EntryOf(record).host_port, 8090);
  record.platform = "brev";
  record.host_url = "http://localhost:8081";
  EXPECT_EQ(EntryOf(record).host_port, 8090);
}

TEST(RegistryFileCodecTest, PrintsAnEntry) {
  const FileEntry entry = {.job_id = "j-1",
                           .platform = "local-docker",
                           .network_arch = "cosmos-rl",
                           .host_url = "http://localhost:8081",
                           .docker_url = "http://j-1:8080",
                           .host_port = 8081,
                           .started_at = absl::FromUnixSeconds(1'790'000'000)};
  const FileContent content = {
      .members = {Entry("j-1", PrintEntry(entry, "")), MakeMember(kLatestKey, QuotedJson("j-1"))}};
  EXPECT_EQ(PrintFileContent(content), R"({
  "j-1": {
    "job_id": "j-1",
    "platform": "local-docker",
    "network_arch": "cosmos-rl",
    "host_url": "http://localhost:8081",
    "docker_url": "http://j-1:8080",
    "host_port": 8081,
    "started_at": "2026-09-21T14:13:20Z"
  },
  "latest": "j-1"
}
)");
  EXPECT_EQ(ReadEntry(content.members[0]), entry);
}

TEST(RegistryFileCodecTest, PrintKeepsWhatOthersAdded) {
  const FileEntry entry = {.job_id = "j", .platform = "lepton", .host_url = "https://l.example"};
  // Their field in front, a wrong value of ours, one that we do not have, and an equal one.
  const std::string before =
      R"({"note": 1.0, "host_url": "http://old", "docker_url": "http://x", "platform": "l\u0065pton"})";
  EXPECT_EQ(PrintEntry(entry, before), R"({
  "note": 1.0,
  "host_url": "https://l.example",
  "platform": "l\u0065pton",
  "job_id": "j"
})");
}

struct TimeCase {
  std::string name, text, want;
};
class StartedAtTest : public testing::TestWithParam<TimeCase> {};

TEST_P(StartedAtTest, IsReadAsOtherToolsWriteIt) {
  const FileEntry entry = ReadEntry(Entry("j", R"({"started_at": ")" + GetParam().text + "\"}"));
  const std::string got =
      entry.started_at == absl::InfinitePast() ? "none" : base::FormatUtc(entry.started_at);
  EXPECT_EQ(got, GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(Times, StartedAtTest,
                         testing::ValuesIn<TimeCase>({
                             {"Z", "2026-11-23T09:26:06Z", "2026-11-23T09:26:06Z"},
                             {"PythonUtc", "2026-11-23T09:26:06.123456+00:00",
                              "2026-11-23T09:26:06Z"},
                             {"PythonNaive", "2026-11-23T09:26:06.123456", "2026-11-23T09:26:06Z"},
                             {"PythonNaiveSeconds", "2026-11-23T09:26:06", "2026-11-23T09:26:06Z"},
                             {"OtherZone", "2026-11-23T11:26:06+02:00", "2026-11-23T09:26:06Z"},
                             {"PythonStr", "2026-11-23 09:26:06.5+00:00", "2026-11-23T09:26:06Z"},
                             {"PythonStrNaive", "2026-11-23 09:26:06", "2026-11-23T09:26:06Z"},
                             {"Text", "yesterday", "none"},
                             {"Infinite", "infinite-future", "none"},
                             {"Empty", "", "none"},
                         }),
                         [](const auto& test) { return test.param.name; });

TEST(RegistryFileCodecTest, FieldsOfAWrongTypeAreAbsent) {
  const FileEntry entry = ReadEntry(Entry(
      "j",
      R"({"host_url": 7, "host_port": "8080", "platform": null, "started_at": [], "slurm_node": "n"})"));
  EXPECT_EQ(entry, (FileEntry{.job_id = "j", .slurm_node = "n"}));
  for (const char* const port : {"0", "-1", "65536", "8080.5", "18446744073709551615", "true"}) {
    EXPECT_EQ(ReadEntry(Entry("j", std::string("{\"host_port\": ") + port + "}")).host_port, 0)
        << port;
  }
}

TEST(RegistryFileCodecTest, EntryOfAnotherToolIsRoutable) {
  const auto entry = CheckedEntry(Entry("my.service_1", R"({"host_url": "http://node-3:8080"})"));
  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_EQ(entry->job_id, "my.service_1");
}

struct BadEntryCase {
  std::string name, job_id, value, want;
};
class BadEntryTest : public testing::TestWithParam<BadEntryCase> {};

TEST_P(BadEntryTest, SaysWhyItCannotBeRoutedTo) {
  const absl::Status status = CheckedEntry(Entry(GetParam().job_id, GetParam().value)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(
    Entries, BadEntryTest,
    testing::ValuesIn<BadEntryCase>({
        {"NoObject", "j", "7", "not a JSON object"},
        {"NoUrl", "j", "{}", "host_url is missing"},
        {"BadUrl", "j", R"({"host_url": "gopher://x"})", "its scheme is another"},
        {"JobIdWithSlash", "../j", R"({"host_url": "http://a:1"})", "letters, digits"},
        {"JobIdWithLineEnd", "j\r\nX-Y: z", R"({"host_url": "http://a:1"})", "letters, digits"},
        {"JobIdEmpty", "", R"({"host_url": "http://a:1"})", "letters, digits"},
        {"JobIdDots", "..", R"({"host_url": "http://a:1"})", "letters, digits"},
        {"JobIdTooLong", std::string(129, 'j'), R"({"host_url": "http://a:1"})", "1 to 128"},
        {"OtherJobId", "j", R"({"job_id": "k", "host_url": "http://a:1"})", "its field job_id"},
        {"JobIdNoText", "j", R"({"job_id": 7, "host_url": "http://a:1"})", "its field job_id"},
        {"ArchWithSpace", "j", R"({"network_arch": "a b", "host_url": "http://a:1"})",
         "network_arch"},
        {"ControlByte", "j", R"({"platform": "a\nb", "host_url": "http://a:1"})", "platform"},
        {"LongField", "j",
         R"({"slurm_node": ")" + std::string(1025, 'n') + R"(", "host_url": "http://a:1"})",
         "slurm_node"},
    }),
    [](const auto& test) { return test.param.name; });

struct PortsCase {
  std::string name, value;
  std::set<int> want;
};
class PortsTest : public testing::TestWithParam<PortsCase> {};

TEST_P(PortsTest, PortsOfThisHost) {
  EXPECT_EQ(PortsOnThisHost(ReadEntry(Entry("j", GetParam().value))), GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(
    Entries, PortsTest,
    testing::ValuesIn<PortsCase>({
        {"LocalDocker",
         R"({"platform": "local-docker", "host_port": 8081, "host_url": "http://localhost:8081"})",
         {8081}},
        {"LocalDockerByName",
         R"({"platform": "local-docker", "host_port": 8081, "host_url": "http://my-host:8081"})",
         {8081}},
        {"BrevIsAnotherHost",
         R"({"platform": "brev", "host_port": 8081, "host_url": "http://1.2.3.4:8081"})",
         {}},
        {"TunnelToBrev",
         R"({"platform": "brev", "host_port": 8081, "host_url": "http://127.0.0.1:8090"})",
         {8090}},
        {"Lepton", R"({"platform": "lepton", "host_url": "https://x.example"})", {}},
        {"NoObject", "7", {}},
    }),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace tao::registry
