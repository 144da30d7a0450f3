#include "server/catalog/section.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>

#include <algorithm>
#include <cmath>

#include "server/base/closest_name.h"
#include "server/base/strings.h"

namespace tao::catalog {

Section::Section(std::string_view file, const DataNode& node, std::string path, Findings& findings)
    : file_(file), node_(&node), line_(node.line), path_(std::move(path)), findings_(&findings) {
  if (node.kind == DataNode::Kind::kMap) return;
  findings.Add(file, line_, path_,
               absl::StrFormat("must be a map (key: value), but is %s", ToString(node.kind)));
  node_ = nullptr;
}

std::string Section::PathOf(std::string_view key) const {
  if (path_.empty()) return std::string(key);
  return absl::StrFormat("%s.%s", path_, key);
}

int Section::LineOf(std::string_view key) const {
  if (node_ == nullptr) return line_;
  for (const DataNode::Member& member : node_->members) {
    if (member.name == key) return member.line;
  }
  return line_;
}

bool Section::Has(std::string_view key) const {
  return node_ != nullptr &&
         std::any_of(node_->members.begin(), node_->members.end(),
                     [&](const DataNode::Member& member) { return member.name == key; });
}

const DataNode::Member* Section::Find(std::string_view key, Need need) {
  asked_.emplace_back(key);
  if (node_ == nullptr) return nullptr;
  for (const DataNode::Member& member : node_->members) {
    if (member.name == key) return &member;
  }
  if (need == Need::kRequired) findings_->Add(file_, line_, PathOf(key), "is missing");
  return nullptr;
}

const DataNode* Section::FindOf(std::string_view key, Need need, DataNode::Kind kind) {
  const DataNode::Member* member = Find(key, need);
  if (member == nullptr) return nullptr;
  if (member->value.kind == kind) return &member->value;
  findings_->Add(
      file_, member->line, PathOf(key),
      absl::StrFormat("must be %s, but is %s", ToString(kind), ToString(member->value.kind)));
  return nullptr;
}

Section Section::Map(std::string_view key, Need need) {
  static const DataNode kEmpty{.kind = DataNode::Kind::kMap};
  const DataNode::Member* member = Find(key, need);
  if (member == nullptr) {
    Section missing(file_, kEmpty, PathOf(key), *findings_);
    missing.node_ = nullptr;
    return missing;
  }
  Section section(file_, member->value, PathOf(key), *findings_);
  section.line_ = member->line;
  return section;
}

Placed Section::TextOf(const DataNode& node, int line, std::string path) {
  Placed placed{.text = node.text, .line = line, .path = std::move(path)};
  if (node.kind != DataNode::Kind::kText) {
    placed.text.clear();
    AddAt(placed, absl::StrFormat("must be a text, but is %s", ToString(node.kind)));
  } else if (node.text.empty()) {
    AddAt(placed, "must not be empty");
  } else if (node.text.find('\0') != std::string::npos) {
    placed.text.clear();
    AddAt(placed, "must not hold a NUL character");
  }
  return placed;
}

Placed Section::Text(std::string_view key, Need need) {
  const DataNode::Member* member = Find(key, need);
  if (member == nullptr) return {.text = "", .line = line_, .path = PathOf(key)};
  return TextOf(member->value, member->line, PathOf(key));
}

std::vector<Placed> Section::TextList(std::string_view key, Need need) {
  std::vector<Placed> texts;
  const DataNode* list = FindOf(key, need, DataNode::Kind::kList);
  if (list == nullptr) return texts;
  for (size_t i = 0; i < list->items.size(); ++i) {
    const DataNode& item = list->items[i];
    Placed text = TextOf(item, item.line, absl::StrFormat("%s[%d]", PathOf(key), i));
    if (text.text.empty()) continue;
    const auto earlier = std::find_if(texts.begin(), texts.end(),
                                      [&](const Placed& other) { return other.text == text.text; });
    if (earlier != texts.end()) {
      AddAt(text, absl::StrFormat("%s is listed twice; the first is on line %d",
                                  base::Quoted(text.text), earlier->line));
      continue;
    }
    texts.push_back(std::move(text));
  }
  return texts;
}

std::optional<int> Section::Int(std::string_view key, Need need, int least) {
  const DataNode::Member* member = Find(key, need);
  if (member == nullptr) return std::nullopt;
  int value = 0;
  if (!absl::SimpleAtoi(member->value.text, &value) || value < least) {
    Add(key, absl::StrFormat("must be a whole number of at least %d, but is %s", least,
                             base::Quoted(member->value.text)));
    return std::nullopt;
  }
  return value;
}

std::optional<double> Section::Number(std::string_view key, Need need) {
  const DataNode::Member* member = Find(key, need);
  if (member == nullptr) return std::nullopt;
  double value = 0;
  if (!absl::SimpleAtod(member->value.text, &value) || !std::isfinite(value)) {
    Add(key, absl::StrFormat("must be a number, but is %s", base::Quoted(member->value.text)));
    return std::nullopt;
  }
  return value;
}

std::optional<bool> Section::Bool(std::string_view key, Need need) {
  const DataNode::Member* member = Find(key, need);
  if (member == nullptr) return std::nullopt;
  if (member->value.text == "true") return true;
  if (member->value.text == "false") return false;
  Add(key, absl::StrFormat("must be true or false, but is %s", base::Quoted(member->value.text)));
  return std::nullopt;
}

std::vector<Section> Section::MapList(std::string_view key, Need need) {
  std::vector<Section> sections;
  const DataNode* list = FindOf(key, need, DataNode::Kind::kList);
  if (list == nullptr) return sections;
  for (size_t i = 0; i < list->items.size(); ++i) {
    sections.emplace_back(file_, list->items[i], absl::StrFormat("%s[%d]", PathOf(key), i),
                          *findings_);
  }
  return sections;
}

std::vector<std::string> Section::Names() {
  std::vector<std::string> names;
  if (node_ == nullptr) return names;
  for (const DataNode::Member& member : node_->members) {
    names.push_back(member.name);
    asked_.push_back(member.name);
  }
  return names;
}

const DataNode* Section::Node(std::string_view key) {
  const DataNode::Member* member = Find(key, Need::kOptional);
  return member == nullptr ? nullptr : &member->value;
}

void Section::Add(std::string_view key, std::string_view message) {
  findings_->Add(file_, LineOf(key), key.empty() ? path_ : PathOf(key), message);
}

void Section::AddAt(const Placed& place, std::string_view message) {
  findings_->Add(file_, place.line, place.path, message);
}

void Section::AddUnknown(const Placed& place, const std::vector<std::string>& known) {
  const std::string guess = base::DidYouMean(place.text, known);
  AddAt(place, absl::StrFormat("%s is not known%s Known: %s", base::Quoted(place.text),
                               guess.empty() ? "." : guess, base::JoinedList(known)));
}

void Section::Done() {
  if (node_ == nullptr) return;
  for (const DataNode::Member& member : node_->members) {
    if (std::find(asked_.begin(), asked_.end(), member.name) != asked_.end()) continue;
    findings_->Add(file_, member.line, PathOf(member.name),
                   absl::StrFormat("is not a known key%s", base::DidYouMean(member.name, asked_)));
  }
}

}  // namespace tao::catalog
