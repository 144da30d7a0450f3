#pragma once

// Finds any of the daemon's secrets in text that comes in pieces: one automaton (Aho and Corasick,
// 1975) for all values. It knows values alone, no names, and says only whether one was there.
//
// No value is shorter than kShortestSecret, so that every occurrence holds, whole, one of the
// 4-byte windows at each stride-th byte. Those are looked up in a small bitmap, and the automaton
// runs only around a hit: text costs a look-up every 13 bytes or more.

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tao::contract {

inline constexpr size_t kShortestSecret = 16;
// Of a longer value its beginning is looked for, which is as telling.
inline constexpr size_t kLongestSecret = 256;

// Immutable, so that any number of threads may use it.
class SecretAutomaton {
 public:
  // Null when none of `values` is long enough to be looked for.
  static std::shared_ptr<const SecretAutomaton> Build(const std::vector<std::string>& values);

  // What a text that has not ended keeps of its pieces: as much of the last bytes as a secret may
  // have in them.
  class Text {
   private:
    friend class SecretAutomaton;
    std::string tail_;
  };

  // Reads the next piece of a text; `last` ends it, and makes `text` a new one. True: the text up
  // to the end of this piece holds a secret.
  bool Feed(Text& text, std::string_view piece, bool last) const {
    if (last && text.tail_.empty()) return piece.size() >= shortest_ && FindInside(piece);
    return FeedPiece(text, piece, last);
  }

 private:
  static constexpr int kWindowBytes = 4;
  static constexpr size_t kFilterBits = size_t{1} << 16;

  using State = uint32_t;
  static constexpr State kStart = 0;

  SecretAutomaton() = default;
  void Add(std::string_view value);
  void Link();
  void FillFilter(const std::vector<std::string>& values);
  State Next(State state, char byte) const {
    return next_[state * classes_ + class_of_[static_cast<unsigned char>(byte)]];
  }
  bool MayBegin(const char* window) const;
  bool FindInside(std::string_view piece) const;
  bool FeedPiece(Text& text, std::string_view piece, bool last) const;

  size_t shortest_ = 0, longest_ = 0;
  size_t stride_ = 0;
  // Bytes that no value has are one class, the first.
  size_t classes_ = 1;
  std::array<uint8_t, 256> class_of_{};
  std::vector<State> next_;      // of a state and a class
  std::vector<uint32_t> depth_;  // of a state: how much of a value has been read
  std::vector<bool> found_;      // of a state: a value has been read to its end
  std::vector<uint64_t> filter_;
};

}  // namespace tao::contract
