#pragma once

// Typed reading of one map of a reference file. Every getter that finds something wrong records a
// finding with file, line and key, and goes on with an empty value, so that one run tells all
// mistakes.
//
//   Section row = file.Map("fallback", Need::kRequired);
//   const std::string name = row.Text("name", Need::kRequired).text;
//   row.Done();  // whatever was not asked for is an unknown key

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/catalog/data_node.h"
#include "server/catalog/findings.h"

namespace tao::catalog {

enum class Need { kRequired, kOptional };

// A text with its place, for checks that need more than the value itself.
struct Placed {
  std::string text;
  int line = 0;
  std::string path;
};

// A list of names with one meaning each, for Section::Choice.
template <typename T>
using Choices = std::vector<std::pair<std::string, T>>;

// Externally synchronised. Points into `node`, `file` and `findings`, which outlive it.
class Section {
 public:
  // A section of the whole file when `path` is empty. A node that is no map is a finding, and reads
  // as an empty map.
  Section(std::string_view file, const DataNode& node, std::string path, Findings& findings);

  // Whether there is a map to read. If not, the finding that says so is recorded already.
  bool readable() const { return node_ != nullptr; }
  bool Has(std::string_view key) const;
  // The line of `key`, or of this section when there is no such key.
  int LineOf(std::string_view key) const;
  const std::string& path() const { return path_; }
  std::string PathOf(std::string_view key) const;

  // The member `key`: each getter's result is empty (nullopt, "", 0) when it is missing or wrong.
  Section Map(std::string_view key, Need need);
  Placed Text(std::string_view key, Need need);                   // not empty
  std::vector<Placed> TextList(std::string_view key, Need need);  // each not empty, none twice
  std::optional<int> Int(std::string_view key, Need need, int least);
  std::optional<double> Number(std::string_view key, Need need);  // finite
  std::optional<bool> Bool(std::string_view key, Need need);
  template <typename T>
  std::optional<T> Choice(std::string_view key, Need need, const Choices<T>& choices) {
    const Placed given = Text(key, need);
    if (given.text.empty()) return std::nullopt;
    std::vector<std::string> names;
    for (const auto& [name, value] : choices) {
      if (name == given.text) return value;
      names.push_back(name);
    }
    AddUnknown(given, names);
    return std::nullopt;
  }
  // The sections of a list of maps.
  std::vector<Section> MapList(std::string_view key, Need need);

  // For maps whose keys are names of the user's choice: all members, in order; Done() is then
  // content.
  std::vector<std::string> Names();
  // The node of `key`, for what has a shape of its own; null when it is missing.
  const DataNode* Node(std::string_view key);

  // Records a finding on `key`, or on this section when `key` is empty.
  void Add(std::string_view key, std::string_view message);
  void AddAt(const Placed& place, std::string_view message);
  // `place` is none of `known`.
  void AddUnknown(const Placed& place, const std::vector<std::string>& known);

  // Records every key that no getter has asked for. Call once, when all have been.
  void Done();

 private:
  const DataNode::Member* Find(std::string_view key, Need need);
  const DataNode* FindOf(std::string_view key, Need need, DataNode::Kind kind);
  Placed TextOf(const DataNode& node, int line, std::string path);

  std::string_view file_;
  const DataNode* node_;  // null: reads as an empty map, and what is missing was said already
  int line_;
  std::string path_;
  Findings* findings_;
  std::vector<std::string> asked_;
};

}  // namespace tao::catalog
