// Where in a body its values stand. What they may be: body_check_values.cc, body_check_media.cc.

#include "server/contract/body_check.h"

#include <algorithm>

#include "server/base/errors.h"

namespace tao::contract {
namespace {

// Of a string that is looked at: no name that we know is longer, and people see no more of it.
constexpr size_t kTextBytes = 128;

// It says nothing of which or where: whoever can send requests could ask for it byte by byte.
absl::Status Refused() {
  return base::TokenError(
      base::ErrorToken::kSecretInBody,
      "the request body holds the value of a secret that this daemon knows (a token or key of its "
      "environment); it was not sent on. Take it out: containers get their secrets from the "
      "daemon");
}

}  // namespace

BodyCheck::BodyCheck(const Contracts* contracts, const SecretAutomaton* secrets)
    : contracts_(contracts), secrets_(secrets) {
  if (contracts_ == nullptr) return;
  for (const ArchContract& arch : contracts_->archs()) judges_.push_back({.arch = &arch});
  given_.resize(contracts_->field_names().size(), false);
  role_read_.resize(contracts_->chat().openai_roles.size(), false);
}

void BodyCheck::Decide(std::string_view network_arch) {
  const auto its = std::find_if(judges_.begin(), judges_.end(), [&](const Judge& judge) {
    return judge.arch->network_arch == network_arch;
  });
  if (its == judges_.end()) {
    judges_.clear();
  } else if (judges_.size() > 1) {
    Judge chosen = std::move(*its);
    judges_.clear();
    judges_.push_back(std::move(chosen));
  }
}

absl::Status BodyCheck::OnObjectBegin() {
  Open(/*is_object=*/true);
  return absl::OkStatus();
}

absl::Status BodyCheck::OnArrayBegin() {
  Open(/*is_object=*/false);
  return absl::OkStatus();
}

absl::Status BodyCheck::OnObjectEnd() {
  Close();
  return absl::OkStatus();
}

absl::Status BodyCheck::OnArrayEnd() {
  Close();
  return absl::OkStatus();
}

absl::Status BodyCheck::OnKey(std::string_view key) {
  if (IsSecret(key, /*last=*/true)) return Refused();
  if (is_judging()) NameMember(key);
  return absl::OkStatus();
}

absl::Status BodyCheck::OnStringPiece(std::string_view piece, bool last) {
  if (!is_judging() || slot_ == Slot::kOther || slot_ == Slot::kContent || slot_ == Slot::kText) {
    return IsSecret(piece, last) ? Refused() : absl::OkStatus();
  }
  if (slot_ == Slot::kUrl) {
    // Base64 is no text: what looks like a secret there is none.
    const size_t text = url_.Feed(piece);
    if (IsSecret(piece.substr(0, text), last || text < piece.size())) return Refused();
  } else {
    if (IsSecret(piece, last)) return Refused();
    text_.append(piece.substr(0, kTextBytes - text_.size()));
  }
  if (last) EndString();
  return absl::OkStatus();
}

absl::Status BodyCheck::OnNumber(std::string_view text) {
  if (is_judging()) TakeScalar({ValueKind::kNumber, text});
  return absl::OkStatus();
}

absl::Status BodyCheck::OnBool(bool value) {
  if (is_judging()) TakeScalar({ValueKind::kBool, value ? "true" : "false"});
  return absl::OkStatus();
}

absl::Status BodyCheck::OnNull() {
  if (is_judging()) TakeScalar({ValueKind::kNull, "null"});
  return absl::OkStatus();
}

void BodyCheck::Open(bool is_object) {
  if (!is_judging()) {
    ++skipped_;
    return;
  }
  CountElement();
  const Value value{is_object ? ValueKind::kObject : ValueKind::kList, ""};
  if (!Fits(value)) {
    TakeScalar(value);
    ++skipped_;
    return;
  }
  switch (slot_) {
    case Slot::kBody:
      level_ = Level::kBody;
      break;
    case Slot::kMessages:
      level_ = Level::kMessages;
      slot_ = Slot::kMessage;
      break;
    case Slot::kMessage:
      level_ = Level::kMessage;
      BeginMessage();
      break;
    case Slot::kContent:
      level_ = Level::kContent;
      slot_ = Slot::kItem;
      item_ = -1;
      break;
    case Slot::kItem:
      level_ = Level::kItem;
      BeginItem();
      break;
    default:  // Slot::kMedia
      level_ = Level::kMedia;
      url_seen_ = false;
      break;
  }
}

void BodyCheck::Close() {
  if (skipped_ > 0) {
    --skipped_;
    return;
  }
  switch (level_) {
    case Level::kMedia:
      slot_ = Slot::kUrl;
      if (!url_seen_) AddFinding("nothing");
      level_ = Level::kItem;
      break;
    case Level::kItem:
      EndItem();
      level_ = Level::kContent;
      slot_ = Slot::kItem;
      break;
    case Level::kContent:
      slot_ = Slot::kContent;
      if (item_ < 0) AddFinding("an empty list");
      level_ = Level::kMessage;
      break;
    case Level::kMessage:
      EndMessage();
      level_ = Level::kMessages;
      slot_ = Slot::kMessage;
      break;
    case Level::kMessages:
      level_ = Level::kBody;
      break;
    default:
      EndBody();
      level_ = Level::kOutside;
      break;
  }
}

void BodyCheck::CountElement() {
  if (slot_ == Slot::kMessage) ++message_;
  if (slot_ == Slot::kItem) ++item_;
}

void BodyCheck::NameMember(std::string_view key) {
  slot_ = Slot::kOther;
  switch (level_) {
    case Level::kBody:
      if (key == "messages") {
        slot_ = Slot::kMessages;
        Once(messages_seen_);
      } else if (field_ = contracts_->FieldOf(key); field_ >= 0) {
        slot_ = Slot::kField;
        Once(given_[static_cast<size_t>(field_)]);
      }
      break;
    case Level::kMessage:
      if (key == "content") {
        slot_ = Slot::kContent;
        Once(content_seen_);
      } else if (key == "role") {
        slot_ = Slot::kRole;
        Once(role_seen_);
      }
      break;
    case Level::kItem:
      if (key == "type") {
        slot_ = Slot::kType;
        Once(type_seen_);
      } else if (payload_ = contracts_->ContentItemOf(key); payload_ >= 0) {
        const auto index = static_cast<size_t>(payload_);
        slot_ = contracts_->chat().content_items[index].kind == catalog::ContentKind::kText
                    ? Slot::kText
                    : Slot::kMedia;
        Once(payloads_[index]);
      }
      break;
    case Level::kMedia:
      if (key == "url") {
        slot_ = Slot::kUrl;
        url_ = {};
        Once(url_seen_);
      }
      break;
    default:
      break;
  }
  text_.clear();
}

// Backends take the last of two, which need not be what the first was judged by.
void BodyCheck::Once(bool& seen) {
  if (seen) {
    for (Judge& judge : judges_) Add(judge, "the member a second time", "one of them");
  }
  seen = true;
}

void BodyCheck::BeginMessage() {
  role_seen_ = content_seen_ = content_is_null_ = message_has_media_ = false;
  role_ = -1;
  for (Judge& judge : judges_) judge.findings_before_message = judge.findings.total();
}

void BodyCheck::EndMessage() {
  const std::string_view role =
      role_ < 0 ? std::string_view() : contracts_->chat().openai_roles[static_cast<size_t>(role_)];
  const std::vector<std::string>& read = contracts_->chat().roles;
  if (role_ >= 0 && std::find(read.begin(), read.end(), role) == read.end()) {
    // What stands in it has no effect, so it may be anything.
    for (Judge& judge : judges_) judge.findings.ReturnTo(judge.findings_before_message);
    AddNotice({MessagePath() + ".role",
               "the container ignores messages of role " + std::string(role),
               "messages of " + RolesRight().substr(RolesRight().find(' ') + 1)});
    return;
  }
  slot_ = Slot::kRole;
  if (!role_seen_) AddFinding("nothing");
  slot_ = Slot::kContent;
  if (!content_seen_) AddFinding("nothing");
  if (content_is_null_) AddFinding("null");
  if (role_ < 0) return;
  if (role_read_[static_cast<size_t>(role_)]) {
    AddNotice(
        {MessagePath(),
         "the container reads the first " + std::string(role) + " message, and ignores this one",
         "one message of role " + std::string(role)});
    return;
  }
  role_read_[static_cast<size_t>(role_)] = true;
  if (role != "user") return;
  user_message_ = message_;
  user_has_media_ = message_has_media_;
}

void BodyCheck::BeginItem() {
  type_seen_ = false;
  item_type_ = payload_ = -1;
  payloads_.assign(contracts_->chat().content_items.size(), false);
}

void BodyCheck::EndItem() {
  slot_ = Slot::kType;
  if (!type_seen_) AddFinding("nothing");
  if (item_type_ < 0) return;
  payload_ = item_type_;
  const auto index = static_cast<size_t>(item_type_);
  const bool is_text = contracts_->chat().content_items[index].kind == catalog::ContentKind::kText;
  if (!payloads_[index]) {
    slot_ = is_text ? Slot::kText : Slot::kMedia;
    AddFinding("nothing");
  }
  if (!is_text) message_has_media_ = true;
}

void BodyCheck::EndBody() {
  slot_ = Slot::kMessages;
  if (!messages_seen_) {
    AddFinding("nothing");
  } else if (user_message_ < 0) {
    for (Judge& judge : judges_) {
      Add(judge, "no message of role user", "at least one, which the container answers");
    }
  }
  if (user_message_ < 0 || user_has_media_) return;
  message_ = user_message_;
  slot_ = Slot::kContent;
  for (Judge& judge : judges_) {
    if (judge.arch->media.media != catalog::MediaRule::kRequired) continue;
    Add(judge, "no image and no video",
        "an image or a video in the first user message of every request to " +
            judge.arch->network_arch);
  }
}

}  // namespace tao::contract
