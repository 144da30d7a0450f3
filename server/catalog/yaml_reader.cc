#include <absl/strings/str_format.h>
#include <yaml-cpp/yaml.h>

#include <optional>

#include "server/base/strings.h"
#include "server/catalog/data_node.h"

namespace tao::catalog {
namespace {

// Aliases let a small file describe a tree without end, or a very large one.
constexpr int kMaxDepth = 32;
constexpr int kMaxNodes = 20'000;

int LineOf(const YAML::Mark& mark) { return mark.is_null() ? 0 : mark.line + 1; }

class YamlConverter {
 public:
  YamlConverter(std::string_view file, Findings& findings) : file_(file), findings_(findings) {}

  // False when the tree is too large; a finding says so.
  bool Convert(const YAML::Node& from, const std::string& path, int depth, DataNode& to) {
    to.line = LineOf(from.Mark());
    if (depth > kMaxDepth || ++nodes_ > kMaxNodes) {
      findings_.Add(file_, to.line, path,
                    absl::StrFormat("the file is nested deeper than %d levels or has more than %d "
                                    "values; check its aliases (&name, *name)",
                                    kMaxDepth, kMaxNodes));
      return false;
    }
    if (from.IsScalar()) {
      to.kind = DataNode::Kind::kText;
      to.text = from.Scalar();
    } else if (from.IsSequence()) {
      to.kind = DataNode::Kind::kList;
      for (const YAML::Node& item : from) {
        const std::string item_path = absl::StrFormat("%s[%d]", path, to.items.size());
        if (!Convert(item, item_path, depth + 1, to.items.emplace_back())) return false;
      }
    } else if (from.IsMap()) {
      to.kind = DataNode::Kind::kMap;
      for (const auto& member : from) {
        if (!ConvertMember(member.first, member.second, path, depth, to)) return false;
      }
    }
    return true;
  }

 private:
  bool ConvertMember(const YAML::Node& name, const YAML::Node& value, const std::string& path,
                     int depth, DataNode& to) {
    const int line = LineOf(name.Mark());
    if (!name.IsScalar()) {
      findings_.Add(file_, line, path, "the name of a key must be a single word");
      return true;
    }
    const std::string member_path = path.empty() ? name.Scalar() : path + "." + name.Scalar();
    for (const DataNode::Member& earlier : to.members) {
      if (earlier.name != name.Scalar()) continue;
      findings_.Add(file_, line, member_path,
                    absl::StrFormat("is given twice; the first is on line %d", earlier.line));
      return true;
    }
    to.members.push_back({.name = name.Scalar(), .line = line, .value = {}});
    DataNode& converted = to.members.back().value;
    const bool fits = Convert(value, member_path, depth + 1, converted);
    if (converted.line == 0) converted.line = line;  // a missing value has no place of its own
    return fits;
  }

  const std::string_view file_;
  Findings& findings_;
  int nodes_ = 0;
};

}  // namespace

std::unique_ptr<DataNode> ReadYaml(std::string_view file, const std::string& text,
                                   Findings& findings) {
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.size() != 1) {
      findings.Add(
          file, 0, "",
          documents.empty() ? "is empty" : "has several documents (separated by ---); write one");
      return nullptr;
    }
    auto root = std::make_unique<DataNode>();
    YamlConverter converter(file, findings);
    if (!converter.Convert(documents.front(), "", 0, *root)) return nullptr;
    return root;
  } catch (const YAML::Exception& error) {
    findings.Add(file, LineOf(error.mark), "", "is not valid YAML: " + error.msg);
    return nullptr;
  }
}

}  // namespace tao::catalog
