#pragma once

// A YAML or JSON file as a tree that remembers its lines. The readers keep the throwing libraries
// to themselves; what they cannot read becomes a finding.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/catalog/findings.h"

namespace tao::catalog {

struct DataNode {
  enum class Kind {
    kNull,
    kText,    // a string; in YAML every scalar, since only its reader knows what it stands for
    kNumber,  // JSON only, as it is written
    kBool,    // JSON only, "true" or "false"
    kList,
    kMap,
  };
  struct Member;

  Kind kind = Kind::kNull;
  int line = 0;                 // where the value begins, counted from 1
  std::string text;             // kText, kNumber, kBool
  std::vector<DataNode> items;  // kList
  std::vector<Member> members;  // kMap, in the order of the file, each name once
};

struct DataNode::Member {
  std::string name;
  int line = 0;  // of the name
  DataNode value;
};

// What `kind` is called in a message: "a list", "a map", ...
std::string_view ToString(DataNode::Kind kind);

// The tree of `text`, which is the content of `file` (a name for findings). Null when the text
// cannot be read at all; a name given twice is a finding of its own, and the first one counts.
std::unique_ptr<DataNode> ReadYaml(std::string_view file, const std::string& text,
                                   Findings& findings);
std::unique_ptr<DataNode> ReadJson(std::string_view file, const std::string& text,
                                   Findings& findings);

}  // namespace tao::catalog
