// Broken reference files and what the user is told: testdata/<case>/ holds a file that replaces the
// good one of the same name, and expected.txt, the findings.

#include <gmock/gmock.h>

#include <set>

#include "server/catalog/catalog.h"
#include "tests/unit/server/catalog/references_copy.h"

namespace tao::catalog {
namespace {

std::filesystem::path TestData() {
  return std::filesystem::path(TAO_SOURCE_DIR) / "tests/unit/server/catalog/testdata";
}

std::string ContentOf(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

// The findings of loading `folder`, one a line, without the heading, which names the folder.
std::string FindingsOf(const std::string& folder) {
  const auto catalog = Catalog::Load(folder);
  if (catalog.ok()) return "";
  EXPECT_EQ(catalog.status().code(), absl::StatusCode::kInvalidArgument);
  std::string text(catalog.status().message());
  text.erase(0, text.find('\n') + 1);
  return text + "\n";
}

std::vector<std::string> Cases() {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(TestData())) {
    names.insert(entry.path().filename().string());
  }
  return {names.begin(), names.end()};
}

class BrokenReferencesTest : public testing::TestWithParam<std::string> {};

TEST_P(BrokenReferencesTest, EveryFindingNamesFileLineAndKey) {
  const ReferencesCopy references;
  const std::filesystem::path overlay = TestData() / GetParam();
  for (const auto& entry : std::filesystem::directory_iterator(overlay)) {
    const std::string file = entry.path().filename().string();
    if (file != "expected.txt") references.Write(file, ContentOf(entry.path()));
  }
  EXPECT_EQ(FindingsOf(references.folder()), ContentOf(overlay / "expected.txt"));
}

INSTANTIATE_TEST_SUITE_P(TestData, BrokenReferencesTest, testing::ValuesIn(Cases()),
                         [](const auto& test) { return test.param; });

TEST(ReferencesTest, MissingFilesAreToldAllAtOnce) {
  const ReferencesCopy references;
  std::filesystem::remove(references.PathOf("versions.yaml"));
  std::filesystem::remove(references.PathOf("request.yaml"));
  std::filesystem::remove(references.PathOf("cosmos-rl.config.json"));
  EXPECT_EQ(FindingsOf(references.folder()),
            "  versions.yaml: there is no such file\n"
            "  cosmos-rl.config.json: there is no such file\n"
            "  request.yaml: there is no such file\n");
}

TEST(ReferencesTest, AConfigFileOfNoArchIsTold) {
  const ReferencesCopy references;
  references.Write("acme.config.json", "{}");
  EXPECT_EQ(FindingsOf(references.folder()),
            "  acme.config.json: belongs to no network_arch: list it in service.yaml's "
            "valid_network_arch_config_basenames, or remove the file\n");
}

TEST(ReferencesTest, CodeExamplesAreOfAnArchAndInEachLanguage) {
  const ReferencesCopy references;
  references.InsertAfter("request.yaml", "code_examples:",
                         "  acme:\n"
                         "    python: x\n"
                         "    perl: x\n"
                         "    curl: \"\"\n");
  const std::string findings = FindingsOf(references.folder());
  EXPECT_THAT(findings, testing::HasSubstr("code_examples.acme: \"acme\" is not known"));
  EXPECT_THAT(findings, testing::HasSubstr("code_examples.acme.perl: "));
  EXPECT_THAT(findings, testing::HasSubstr("code_examples.acme.node: "));
  EXPECT_THAT(findings, testing::HasSubstr("code_examples.acme.curl: "));
}

struct HostileCase {
  std::string name, file, content, want;
};

class HostileReferencesTest : public testing::TestWithParam<HostileCase> {};

// Whatever stands in a file, loading ends with a finding: no exception, no endless loop.
TEST_P(HostileReferencesTest, EndsWithAFinding) {
  const ReferencesCopy references;
  references.Write(GetParam().file, GetParam().content);
  EXPECT_THAT(FindingsOf(references.folder()), testing::HasSubstr(GetParam().want));
}

std::string ManyAliases() {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 10; ++i) {
    const std::string name = "a" + std::to_string(i), alias = "*a" + std::to_string(i - 1);
    text += name + ": &" + name + " [" + alias;
    for (int j = 1; j < 10; ++j) text += ", " + alias;
    text += "]\n";
  }
  return text;
}

INSTANTIATE_TEST_SUITE_P(
    Files, HostileReferencesTest,
    testing::ValuesIn<HostileCase>({
        {"Empty", "service.yaml", "", "service.yaml: is empty"},
        {"CommentOnly", "service.yaml", "# nothing\n", "service.yaml"},
        {"NotAMap", "service.yaml", "- a\n- b\n", "service.yaml:1: must be a map"},
        {"TwoDocuments", "versions.yaml", "a: b\n---\nc: d\n", "has several documents"},
        {"NotUtf8", "versions.yaml", "images:\n  a: \xff\n", "versions.yaml:2: is not UTF-8 text"},
        {"AliasOfItself", "versions.yaml", "images: &a\n  x: *a\n", "versions.yaml:1"},
        {"ManyAliases", "versions.yaml", ManyAliases(), "check its aliases"},
        {"DeepYaml", "versions.yaml", std::string(100'000, '['), "versions.yaml"},
        {"DeepJson", "cosmos-rl.config.json", std::string(100'000, '['),
         "cosmos-rl.config.json:1: is nested deeper than 32 levels"},
        {"JsonNumberTooLarge", "cosmos-rl.config.json", "{\n\"api_params\": 1e999}",
         "cosmos-rl.config.json:2: is not valid JSON"},
        {"JsonOfOneWord", "cosmos-rl.config.json", "7", "must be a map (key: value), but is a num"},
        {"Nul", "versions.yaml", "images:\n  a:\n    b: \"x\\0y\"\n",
         "versions.yaml:3: images.a.b: must not hold a NUL"},
        {"TooLarge", "versions.yaml", std::string((1 << 20) + 1, '#'), "larger than 1 MiB"},
    }),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace tao::catalog
