#pragma once

// Judges a request by the events of its body: whether the container could run it, what of it the
// container would not heed, and whether it gives a secret away. No tree, no copy of the body: a
// position in the few levels that matter, short texts, and the findings.
//
//   BodyCheck check(contracts.get(), secrets.get());
//   BodyScanner scanner(check);  ...
//   check.Decide(network_arch);       // as soon as it is known, at the latest after the body
//   check.Verdict(strict);            // after the body
//
// The order of a body's members means nothing: `messages` may come before `model`, which says for
// which arch the request is, and an item's URL before its type. So the body is judged for every
// arch that it may still be for: at the few places where archs differ, each has its own findings.
//
// Externally synchronised. What is passed to the constructor outlives the check.

#include <absl/container/inlined_vector.h>
#include <absl/status/status.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/body_sink.h"
#include "server/contract/contracts.h"
#include "server/contract/finding.h"
#include "server/contract/media_url.h"
#include "server/contract/secret_automaton.h"

namespace tao::contract {

inline constexpr size_t kMaxNoticeLines = 16;
inline constexpr size_t kMaxNoticeBytes = 4096;

class BodyCheck final : public base::BodySink {
 public:
  // `contracts`: null for none, then any body is right. `secrets`: null when there are none.
  BodyCheck(const Contracts* contracts, const SecretAutomaton* secrets);

  // The arch that the request is for; one without a contract, or an empty name, takes anything.
  void Decide(std::string_view network_arch);

  // After the body and Decide. contract_violation with the first findings and their total; with
  // `strict`, notices are findings too. Otherwise the request may run.
  absl::Status Verdict(bool strict) const;
  // What its client should be told although it may run.
  std::vector<Notice> Notices() const;
  // The same in lines of printable ASCII: at most kMaxNoticeLines, of kMaxNoticeBytes together, the
  // last of which says how many are left out.
  std::vector<std::string> NoticeLines() const;

  // Errors: secret_in_body, which ends the scan at once.
  absl::Status OnObjectBegin() override;
  absl::Status OnObjectEnd() override;
  absl::Status OnArrayBegin() override;
  absl::Status OnArrayEnd() override;
  absl::Status OnKey(std::string_view key) override;
  absl::Status OnStringPiece(std::string_view piece, bool last) override;
  absl::Status OnNumber(std::string_view text) override;
  absl::Status OnBool(bool value) override;
  absl::Status OnNull() override;

 private:
  // What the next value is, of the values that matter.
  enum class Slot : uint8_t {
    kBody,
    kOther,
    kMessages,  // the list
    kMessage,   // one of it
    kRole,
    kContent,
    kItem,  // of a content list
    kType,
    kText,
    kMedia,  // the object with the URL
    kUrl,
    kField,  // a sampling field
  };
  // The innermost open object or list that matters; each stands in the one before it.
  enum class Level : uint8_t { kOutside, kBody, kMessages, kMessage, kContent, kItem, kMedia };
  enum class ValueKind : uint8_t { kString, kNumber, kBool, kNull, kList, kObject };
  struct Value {
    ValueKind kind;
    std::string_view text;  // of a number; the beginning of a string; true or false
  };

  // One arch that the request may be for.
  struct Judge {
    const ArchContract* arch;
    FirstOf<Finding> findings;
    FirstOf<Notice> notices;
    uint64_t findings_before_message = 0;
  };

  bool is_judging() const { return skipped_ == 0 && !judges_.empty(); }
  bool IsSecret(std::string_view piece, bool last) {
    return secrets_ != nullptr && secrets_->Feed(secret_text_, piece, last);
  }

  void Open(bool is_object);
  void Close();
  void BeginMessage();
  void EndMessage();
  void ReadRole(std::string_view role);
  void ReadType(std::string_view type);
  void BeginItem();
  void EndItem();
  void EndBody();
  void NameMember(std::string_view key);
  void TakeScalar(const Value& value);
  void EndString();
  bool Fits(const Value& value) const;
  // Counts the elements of the lists that matter: a value begins.
  void CountElement();
  // Of a member that must not be there twice; a finding if it is.
  void Once(bool& seen);

  void JudgeField(const Value& value);
  void JudgeUrl();
  void JudgeUrlFor(Judge& judge, catalog::ContentKind kind);
  void JudgeDataUrl(Judge& judge, catalog::ContentKind kind);
  void JudgeExtension(Judge& judge, catalog::ContentKind kind);

  std::string Path() const;  // of the value of slot_
  std::string MessagePath() const;
  std::string ItemPath() const;
  std::string Right() const;  // what slot_ takes
  std::string RolesRight() const;
  std::string NameOfPayload() const;
  static std::string Found(const Value& value);
  // Of the value of slot_; the first two for every arch, "nothing" where something must stand.
  void AddFinding(std::string_view found);
  void AddFinding(const Value& found);
  void Add(Judge& judge, std::string found, std::string right);
  void AddNotice(const Notice& notice);

  const Contracts* const contracts_;
  const SecretAutomaton* const secrets_;
  SecretAutomaton::Text secret_text_;
  absl::InlinedVector<Judge, 4> judges_;  // empty: nothing is to be judged

  Slot slot_ = Slot::kBody;
  Level level_ = Level::kOutside;
  uint32_t skipped_ = 0;  // open objects and lists that do not matter
  std::string text_;      // the beginning of a string that is looked at

  int field_ = -1;                       // of kField
  absl::InlinedVector<bool, 32> given_;  // of each field
  bool messages_seen_ = false;
  int64_t message_ = -1;  // its index
  bool role_seen_ = false, content_seen_ = false, content_is_null_ = false;
  int role_ = -1;  // index in openai_roles
  bool message_has_media_ = false;
  absl::InlinedVector<bool, 16>
      role_read_;  // of openai_roles: the container has its message already
  bool user_has_media_ = false;
  int64_t user_message_ = -1;  // the first

  int64_t item_ = -1;
  bool type_seen_ = false;
  int item_type_ = -1;                     // index in content_items; -1: none that is known
  absl::InlinedVector<bool, 8> payloads_;  // of content_items: a member of that name was there
  int payload_ = -1;                       // the one that is being read
  bool url_seen_ = false;
  MediaUrl url_;
};

}  // namespace tao::contract
