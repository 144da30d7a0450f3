#include <absl/strings/str_format.h>

#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "server/base/strings.h"
#include "server/catalog/data_node.h"

namespace tao::catalog {
namespace {

constexpr size_t kMaxDepth = 32;

// Reads a text and counts the lines it has passed: nlohmann's events come without positions, but
// each comes right after its last character was read. (After a number one character more: the line
// of a name is what messages use.)
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, int* line) : at_(at), line_(line) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    if (*at_ == '\n') ++*line_;
    ++at_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const CountingIterator& a, const CountingIterator& b) {
    return a.at_ == b.at_;
  }

 private:
  const char* at_;
  int* line_;
};

// Builds the tree from nlohmann's events; its base class demands the names.
class TreeBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  TreeBuilder(std::string_view file, const int& line, DataNode& root, Findings& findings)
      : file_(file), line_(line), root_(root), findings_(findings) {}

  bool null() override { return Leaf(DataNode::Kind::kNull, ""); }
  bool boolean(bool value) override {
    return Leaf(DataNode::Kind::kBool, value ? "true" : "false");
  }
  bool number_integer(number_integer_t value) override {
    return Leaf(DataNode::Kind::kNumber, std::to_string(value));
  }
  bool number_unsigned(number_unsigned_t value) override {
    return Leaf(DataNode::Kind::kNumber, std::to_string(value));
  }
  bool number_float(number_float_t, const string_t& text) override {
    return Leaf(DataNode::Kind::kNumber, text);
  }
  bool string(string_t& value) override { return Leaf(DataNode::Kind::kText, std::move(value)); }
  bool binary(binary_t&) override { return false; }  // not in JSON text

  bool start_object(std::size_t) override { return Open(DataNode::Kind::kMap); }
  bool end_object() override { return Close(); }
  bool start_array(std::size_t) override { return Open(DataNode::Kind::kList); }
  bool end_array() override { return Close(); }
  bool key(string_t& name) override {
    DataNode& map = *open_.back();
    for (const DataNode::Member& earlier : map.members) {
      if (earlier.name != name) continue;
      findings_.Add(file_, line_, paths_.back().empty() ? name : paths_.back() + "." + name,
                    absl::StrFormat("is given twice; the first is on line %d", earlier.line));
      repeated_ = true;
      return true;
    }
    map.members.push_back({.name = std::move(name), .line = line_, .value = {}});
    return true;
  }
  bool parse_error(std::size_t, const std::string&,
                   const nlohmann::json::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 8, column 3: syntax error while ...":
    // what stands before the last part is in the finding already.
    const std::string_view what = error.what();
    const size_t detail = what.find(": ");
    findings_.Add(
        file_, line_, "",
        absl::StrFormat("is not valid JSON: %s",
                        detail == std::string_view::npos ? what : what.substr(detail + 2)));
    return false;
  }

 private:
  // The place of the next value.
  DataNode& Next() {
    if (open_.empty()) return root_;
    if (repeated_) {
      repeated_ = false;
      ignored_.push_back(std::make_unique<DataNode>());
      return *ignored_.back();
    }
    DataNode& parent = *open_.back();
    if (parent.kind == DataNode::Kind::kList) return parent.items.emplace_back();
    return parent.members.back().value;
  }
  std::string NextPath() const {
    if (open_.empty()) return "";
    const DataNode& parent = *open_.back();
    if (parent.kind == DataNode::Kind::kList) {
      return absl::StrFormat("%s[%d]", paths_.back(), parent.items.size());
    }
    const std::string& name = parent.members.back().name;
    return paths_.back().empty() ? name : paths_.back() + "." + name;
  }
  bool Leaf(DataNode::Kind kind, std::string text) {
    DataNode& node = Next();
    node.kind = kind;
    node.line = line_;
    node.text = std::move(text);
    return true;
  }
  bool Open(DataNode::Kind kind) {
    if (open_.size() >= kMaxDepth) {
      findings_.Add(file_, line_, "",
                    absl::StrFormat("is nested deeper than %d levels", kMaxDepth));
      return false;
    }
    paths_.push_back(NextPath());
    DataNode& node = Next();
    node.kind = kind;
    node.line = line_;
    // A pointer to a list's item stays valid while it is open: no sibling is added until it closes.
    open_.push_back(&node);
    return true;
  }
  bool Close() {
    open_.pop_back();
    paths_.pop_back();
    return true;
  }

  const std::string_view file_;
  const int& line_;
  DataNode& root_;
  Findings& findings_;
  std::vector<DataNode*> open_;
  std::vector<std::string> paths_;  // of open_
  bool repeated_ = false;           // the next value belongs to a name given twice
  std::vector<std::unique_ptr<DataNode>> ignored_;
};

}  // namespace

std::unique_ptr<DataNode> ReadJson(std::string_view file, const std::string& text,
                                   Findings& findings) {
  int line = 1;
  auto root = std::make_unique<DataNode>();
  TreeBuilder builder(file, line, *root, findings);
  // The events report errors without throwing, but for running out of range in a number.
  try {
    const CountingIterator begin(text.data(), &line);
    const CountingIterator end(text.data() + text.size(), &line);
    if (!nlohmann::json::sax_parse(begin, end, &builder)) return nullptr;
  } catch (const nlohmann::json::exception& error) {
    findings.Add(file, line, "", absl::StrFormat("is not valid JSON: %s", error.what()));
    return nullptr;
  }
  return root;
}

}  // namespace tao::catalog
