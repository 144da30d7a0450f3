#include "server/registry/registry_file_merge.h"

#include <absl/strings/str_format.h>

namespace tao::registry {
namespace {

absl::Time At(int second) { return absl::FromUnixSeconds(1'790'000'000 + second); }

// An entry of ours in short: job_id and start.
FileEntry Ours(const std::string& job_id, absl::Time started_at) {
  return {.job_id = job_id, .host_url = "http://localhost:1", .started_at = started_at};
}

std::string Theirs(const std::string& job_id, int second) {
  return absl::StrFormat(R"("%s": {"host_url": "http://x:1", "started_at": "%s", "theirs": 1.50})",
                         job_id,
                         absl::FormatTime(absl::RFC3339_sec, At(second), absl::UTCTimeZone()));
}

// The keys in order, and what "latest" says.
std::string Summary(const FileContent& content) {
  std::string summary;
  for (const RawMember& member : content.members) {
    summary += member.name + (member.name == kLatestKey ? "=" + member.value : "") + " ";
  }
  return summary;
}

struct MergeCase {
  std::string name;
  std::string file;  // members of the file
  MergeInput input;
  std::string want;
  bool want_changed = true;
};
class MergeTest : public testing::TestWithParam<MergeCase> {};

TEST_P(MergeTest, GivesTheFileItsContent) {
  const auto before = ParseFileContent("{" + GetParam().file + "}");
  ASSERT_TRUE(before.ok()) << before.status();
  const Merged merged = MergeFileContent(*before, GetParam().input);
  EXPECT_EQ(Summary(merged.content), GetParam().want);
  EXPECT_EQ(merged.entries_changed, GetParam().want_changed);
  // Once written, it is right as it is.
  const auto written = ParseFileContent(PrintFileContent(merged.content));
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_FALSE(MergeFileContent(*written, GetParam().input).entries_changed);
}

INSTANTIATE_TEST_SUITE_P(
    Files, MergeTest,
    testing::ValuesIn<MergeCase>({
        {"Nothing", "", {}, "", false},
        {"FirstOfOurs", "", {.ours = {Ours("a", At(1))}}, "a latest=\"a\" "},
        {"TwoOfOurs", "", {.ours = {Ours("a", At(1)), Ours("b", At(2))}}, "a b latest=\"b\" "},
        {"LatestIsByTimeNotByPlace",
         "",
         {.ours = {Ours("a", At(2)), Ours("b", At(1))}},
         "a b latest=\"a\" "},
        {"OursWithinOneSecond",
         "",
         {.ours = {Ours("a", At(1) + absl::Milliseconds(7)), Ours("b", At(1))}},
         "a b latest=\"a\" "},
        {"SameTimeIsTheLastInTheFile",
         "",
         {.ours = {Ours("a", At(1)), Ours("b", At(1))}},
         "a b latest=\"b\" "},
        {"BesideOthers",
         Theirs("x", 1) + R"(, "latest": "x")",
         {.ours = {Ours("a", At(2))}},
         "x latest=\"a\" a "},
        {"OthersStartedLater",
         Theirs("x", 9) + R"(, "latest": "x")",
         {.ours = {Ours("a", At(2))}},
         "x latest=\"x\" a "},
        {"OursThereAlready",
         R"("a": {"job_id": "a", "host_url": "http://localhost:1", "started_at": "2026-09-21T14:13:21Z"})",
         {.ours = {Ours("a", At(1))}},
         "a latest=\"a\" ",
         false},
        {"OursSpoilt",
         R"("a": {"job_id": "a", "host_url": "http://evil:1", "started_at": "2026-09-21T14:13:21Z"})",
         {.ours = {Ours("a", At(1))}},
         "a latest=\"a\" "},
        {"OursNoObject", R"("a": 7)", {.ours = {Ours("a", At(1))}}, "a latest=\"a\" "},
        {"WithdrawnGoes",
         Theirs("a", 5) + "," + Theirs("x", 1) + "," + Theirs("y", 3) + R"(, "latest": "a")",
         {.withdrawn = {"a"}},
         "x y latest=\"y\" "},
        {"LastOneGoes", Theirs("a", 5) + R"(, "latest": "a")", {.withdrawn = {"a"}}, ""},
        {"WithdrawnThatIsNotThere",
         Theirs("x", 1) + R"(, "latest": "x")",
         {.withdrawn = {"a"}},
         "x latest=\"x\" ",
         false},
        {"LatestAloneIsNoReasonToWrite",
         Theirs("x", 1) + "," + Theirs("y", 2) + R"(, "latest": "x")",
         {},
         "x y latest=\"y\" ",
         false},
        {"LatestOfAWrongType",
         Theirs("x", 1) + R"(, "latest": {"started_at": "2030-01-01T00:00:00Z"})",
         {.ours = {Ours("a", At(0))}},
         "x latest=\"x\" a "},
        {"UnknownMembersStay",
         R"("version": 2, "meta": {"x": 1}, "z": [1])",
         {.ours = {Ours("a", At(1))}},
         "version meta z a latest=\"a\" "},
        {"UnknownMembersAreNeverLatest",
         R"("meta": {"x": 1}, )" + Theirs("b", 1),
         {.withdrawn = {"b"}},
         "meta "},
        {"EntryWithoutATimeIsLatestWhenAlone",
         R"("x": {"host_url": "http://x:1"}, )" + Theirs("b", 1),
         {.withdrawn = {"b"}},
         "x latest=\"x\" "},
    }),
    [](const auto& test) { return test.param.name; });

TEST(MergeValuesTest, WhatOthersWroteStaysByteForByteInValue) {
  const std::string text = R"({
  "x": {
    "started_at": "2026-01-01T00:00:00+00:00",
    "big": 123456789012345678901234567890,
    "exact": 1.10,
    "caf\u00e9": "\u00e9",
    "nested": {
      "empty": {},
      "list": [
        1,
        2
      ]
    }
  }
}
)";
  const auto content = ParseFileContent(text);
  ASSERT_TRUE(content.ok()) << content.status();
  EXPECT_EQ(PrintFileContent(*content), text);
  const Merged merged = MergeFileContent(*content, {.ours = {Ours("a", At(1))}});
  const std::string printed = PrintFileContent(merged.content);
  EXPECT_TRUE(printed.starts_with(text.substr(0, text.size() - 3))) << printed;
}

TEST(MergeValuesTest, FieldsThatOthersAddedToOursStay) {
  const auto content =
      ParseFileContent(R"({"a": {"started_at": "1999-01-01T00:00:00Z", "note": "hi"}})");
  const Merged merged = MergeFileContent(*content, {.ours = {Ours("a", At(1))}});
  EXPECT_EQ(PrintFileContent(merged.content), R"({
  "a": {
    "started_at": "2026-09-21T14:13:21Z",
    "note": "hi",
    "job_id": "a",
    "host_url": "http://localhost:1"
  },
  "latest": "a"
}
)");
}

}  // namespace
}  // namespace tao::registry
