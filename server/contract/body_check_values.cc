// What the values of a body may be, and the words for what they are.

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>

#include <charconv>
#include <cmath>
#include <system_error>

#include "server/base/strings.h"
#include "server/contract/body_check.h"

namespace tao::contract {
namespace {

using catalog::FieldType;
using catalog::FieldUse;

// JSON's integers that a 64-bit integer holds.
bool IsWhole(std::string_view number) {
  int64_t value = 0;
  const auto read = std::from_chars(number.data(), number.data() + number.size(), value);
  return read.ec == std::errc() && read.ptr == number.data() + number.size();
}

// Infinite where no double holds it.
double ToDouble(std::string_view number) {
  double value = 0;
  const auto read = std::from_chars(number.data(), number.data() + number.size(), value);
  if (read.ec == std::errc()) return value;
  // Out of range: too large, or so small that it is 0.
  return absl::SimpleAtod(base::ToAbsl(number), &value) ? value : HUGE_VAL;
}

std::string OneOf(const std::vector<std::string>& names) {
  std::string list;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) list += i + 1 == names.size() ? " or " : ", ";
    list += names[i];
  }
  return list;
}

}  // namespace

bool BodyCheck::Fits(const Value& value) const {
  switch (slot_) {
    case Slot::kBody:
    case Slot::kMessage:
    case Slot::kItem:
    case Slot::kMedia:
      return value.kind == ValueKind::kObject;
    case Slot::kMessages:
      return value.kind == ValueKind::kList;
    case Slot::kContent:
      return value.kind == ValueKind::kList || value.kind == ValueKind::kString;
    case Slot::kRole:
    case Slot::kType:
    case Slot::kText:
    case Slot::kUrl:
      return value.kind == ValueKind::kString;
    case Slot::kOther:
    case Slot::kField:
      break;
  }
  return false;  // no object or list of these is looked into
}

// A value that has no members of interest: a scalar, or what should not be a list or an object.
void BodyCheck::TakeScalar(const Value& value) {
  if (value.kind != ValueKind::kList && value.kind != ValueKind::kObject) CountElement();
  if (slot_ == Slot::kOther) return;
  if (slot_ == Slot::kField) return JudgeField(value);
  if (slot_ == Slot::kContent && value.kind == ValueKind::kNull) {
    content_is_null_ = true;  // right in a message of the assistant
    return;
  }
  if (!Fits(value)) AddFinding(value);
}

void BodyCheck::EndString() {
  switch (slot_) {
    case Slot::kRole:
      ReadRole(text_);
      break;
    case Slot::kType:
      ReadType(text_);
      break;
    case Slot::kUrl:
      url_.Finish();
      JudgeUrl();
      break;
    default:
      TakeScalar({ValueKind::kString, text_});
      break;
  }
  text_.clear();
}

void BodyCheck::ReadRole(std::string_view role) {
  const std::vector<std::string>& known = contracts_->chat().openai_roles;
  role_ = -1;
  for (size_t i = 0; i < known.size(); ++i) {
    if (known[i] == role) role_ = static_cast<int>(i);
  }
  if (role_ < 0) AddFinding(base::Quoted(role));
}

void BodyCheck::ReadType(std::string_view type) {
  item_type_ = contracts_->ContentItemOf(type);
  if (item_type_ < 0) AddFinding(base::Quoted(type));
}

void BodyCheck::JudgeField(const Value& value) {
  const auto index = static_cast<size_t>(field_);
  const bool is_number = value.kind == ValueKind::kNumber;
  const double number = is_number ? ToDouble(value.text) : 0;
  for (Judge& judge : judges_) {
    const FieldContract& field = judge.arch->fields[index];
    if (field.use == FieldUse::kIgnored) continue;
    bool is_right = field.use == FieldUse::kApplies;
    switch (field.type) {
      case FieldType::kString:
        is_right = is_right && value.kind == ValueKind::kString;
        break;
      case FieldType::kBool:
        is_right = is_right && value.kind == ValueKind::kBool;
        break;
      default:
        is_right = is_right && is_number && std::isfinite(number) &&
                   (field.type != FieldType::kInt || IsWhole(value.text)) &&
                   field.range.Holds(number);
        break;
    }
    if (!is_right) Add(judge, Found(value), field.right);
  }
}

std::string BodyCheck::Found(const Value& value) {
  switch (value.kind) {
    case ValueKind::kString:
      return "the string " + base::Quoted(value.text);
    case ValueKind::kNumber:
      return std::string(value.text.substr(0, 40)) + (value.text.size() > 40 ? "..." : "");
    case ValueKind::kList:
      return "a list";
    case ValueKind::kObject:
      return "an object";
    default:
      return std::string(value.text);
  }
}

std::string BodyCheck::RolesRight() const { return "role " + OneOf(contracts_->chat().roles); }

std::string BodyCheck::NameOfPayload() const {
  return contracts_->chat().content_items[static_cast<size_t>(payload_)].name;
}

std::string BodyCheck::Right() const {
  switch (slot_) {
    case Slot::kMessages:
      return "a list of messages";
    case Slot::kMessage:
      return "an object with role and content";
    case Slot::kRole:
      return "one of OpenAI's roles: " + base::JoinedList(contracts_->chat().openai_roles);
    case Slot::kContent:
      return "a text, or a list of content items";
    case Slot::kItem:
    case Slot::kType: {
      std::vector<std::string> types;
      for (const catalog::ContentItem& item : contracts_->chat().content_items) {
        types.push_back(item.name);
      }
      return (slot_ == Slot::kItem ? "an object of type " : "") + OneOf(types);
    }
    case Slot::kText:
      return "a text";
    case Slot::kMedia:
      return "an object with a url";
    case Slot::kUrl:
      return "the URL of the media, as a text";
    default:
      return "";
  }
}

std::string BodyCheck::MessagePath() const { return absl::StrFormat("messages[%d]", message_); }

std::string BodyCheck::ItemPath() const {
  return absl::StrFormat("%s.content[%d]", MessagePath(), item_);
}

std::string BodyCheck::Path() const {
  switch (slot_) {
    case Slot::kMessages:
      return "messages";
    case Slot::kMessage:
      return MessagePath();
    case Slot::kRole:
      return MessagePath() + ".role";
    case Slot::kContent:
      return MessagePath() + ".content";
    case Slot::kItem:
      return ItemPath();
    case Slot::kType:
      return ItemPath() + ".type";
    case Slot::kText:
    case Slot::kMedia:
      return ItemPath() + "." + NameOfPayload();
    case Slot::kUrl:
      return ItemPath() + "." + NameOfPayload() + ".url";
    case Slot::kField:
      return contracts_->field_names()[static_cast<size_t>(field_)];
    default:
      return "";
  }
}

void BodyCheck::AddFinding(std::string_view found) {
  for (Judge& judge : judges_) {
    if (judge.findings.has_room()) {
      Add(judge, std::string(found), Right());
    } else {
      judge.findings.Count();
    }
  }
}

void BodyCheck::AddFinding(const Value& found) {
  for (Judge& judge : judges_) {
    if (judge.findings.has_room()) {
      Add(judge, Found(found), Right());
    } else {
      judge.findings.Count();
    }
  }
}

void BodyCheck::Add(Judge& judge, std::string found, std::string right) {
  if (!judge.findings.has_room()) return judge.findings.Count();
  judge.findings.Add({Path(), std::move(found), std::move(right)});
}

void BodyCheck::AddNotice(const Notice& notice) {
  for (Judge& judge : judges_) judge.notices.Add(notice);
}

}  // namespace tao::contract
