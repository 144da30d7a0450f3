#pragma once

// Writes a scan down as one line of text, so that tests compare scans by what they say and not by
// how the body was split: {key:"a" "text" 1 [true null ]}. Pieces of a string are joined; `pieces`
// keeps them apart.

#include <string>
#include <string_view>
#include <vector>

#include "gateway/chat/body_scanner.h"
#include "server/base/body_sink.h"
#include "server/base/strings.h"

namespace tao::chat {

class EventTrace : public base::BodySink {
 public:
  // With the beginning of a string that did not end, if there is one.
  std::string text() const {
    return string_.empty() ? text_ : text_ + " begun:" + base::Quoted(string_, std::string::npos);
  }
  const std::vector<std::string>& pieces() const { return pieces_; }

  absl::Status OnObjectBegin() override { return Put("{"); }
  absl::Status OnObjectEnd() override { return Put("}"); }
  absl::Status OnArrayBegin() override { return Put("["); }
  absl::Status OnArrayEnd() override { return Put("]"); }
  absl::Status OnKey(std::string_view key) override {
    return Put("key:" + base::Quoted(key, std::string::npos));
  }
  absl::Status OnStringPiece(std::string_view piece, bool last) override {
    string_ += piece;
    pieces_.emplace_back(piece);
    if (!last) return absl::OkStatus();
    Put(base::Quoted(string_, std::string::npos)).IgnoreError();
    string_.clear();
    return absl::OkStatus();
  }
  absl::Status OnNumber(std::string_view number) override { return Put(std::string(number)); }
  absl::Status OnBool(bool value) override { return Put(value ? "true" : "false"); }
  absl::Status OnNull() override { return Put("null"); }

 private:
  absl::Status Put(const std::string& word) {
    if (!text_.empty()) text_ += ' ';
    text_ += word;
    return absl::OkStatus();
  }

  std::string text_;
  std::string string_;
  std::vector<std::string> pieces_;
};

struct Scan {
  absl::Status status;
  std::string events;
  std::vector<std::string> pieces;
};

// Scans `body` cut at each of `cuts` (ascending).
inline Scan ScanInPieces(std::string_view body, const std::vector<size_t>& cuts,
                         StringForm form = StringForm::kDecoded,
                         const StringKernels& kernels = BestStringKernels()) {
  EventTrace trace;
  BodyScanner scanner(trace, {.string_form = form, .kernels = &kernels});
  size_t from = 0;
  absl::Status status;
  for (size_t i = 0; i <= cuts.size() && status.ok(); ++i) {
    const size_t to = i < cuts.size() ? cuts[i] : body.size();
    // A copy of exactly that size, so that ASan sees a read beyond the piece.
    const std::vector<char> piece(body.begin() + static_cast<ptrdiff_t>(from),
                                  body.begin() + static_cast<ptrdiff_t>(to));
    status = scanner.Feed({piece.data(), piece.size()});
    from = to;
  }
  if (status.ok()) status = scanner.Finish();
  return {status, trace.text(), trace.pieces()};
}

inline Scan ScanWhole(std::string_view body, StringForm form = StringForm::kDecoded) {
  return ScanInPieces(body, {}, form);
}

inline std::vector<size_t> EveryByte(std::string_view body) {
  std::vector<size_t> cuts;
  for (size_t i = 1; i < body.size(); ++i) cuts.push_back(i);
  return cuts;
}

}  // namespace tao::chat
