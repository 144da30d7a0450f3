#include "server/contract/secret_automaton.h"

#include <algorithm>
#include <cstring>
#include <deque>

namespace tao::contract {
namespace {

// More would save nothing, and reach over a cache line at each step.
constexpr size_t kLongestStride = 61;

size_t FilterBit(const char* window) {
  uint32_t bytes;
  std::memcpy(&bytes, window, sizeof(bytes));
  return (bytes * 0x9e3779b1u) >> 16;
}

}  // namespace

std::shared_ptr<const SecretAutomaton> SecretAutomaton::Build(
    const std::vector<std::string>& values) {
  std::vector<std::string> wanted;
  for (const std::string& value : values) {
    if (value.size() >= kShortestSecret) wanted.push_back(value.substr(0, kLongestSecret));
  }
  if (wanted.empty()) return nullptr;

  std::shared_ptr<SecretAutomaton> built(new SecretAutomaton);
  built->shortest_ = kLongestSecret;
  for (const std::string& value : wanted) {
    built->shortest_ = std::min(built->shortest_, value.size());
    built->longest_ = std::max(built->longest_, value.size());
    for (const char byte : value) {
      uint8_t& its_class = built->class_of_[static_cast<unsigned char>(byte)];
      // Where all 256 bytes occur, the last one has the first class for itself.
      if (its_class == 0 && built->classes_ < 256)
        its_class = static_cast<uint8_t>(built->classes_++);
    }
  }
  built->stride_ = std::min(built->shortest_ - (kWindowBytes - 1), kLongestStride);
  built->next_.assign(built->classes_, kStart);
  built->depth_.assign(1, 0);
  built->found_.assign(1, false);
  for (const std::string& value : wanted) built->Add(value);
  built->Link();
  built->FillFilter(wanted);
  return built;
}

void SecretAutomaton::Add(std::string_view value) {
  State state = kStart;
  for (const char byte : value) {
    const size_t slot = state * classes_ + class_of_[static_cast<unsigned char>(byte)];
    if (next_[slot] == kStart) {
      next_[slot] = static_cast<State>(depth_.size());
      depth_.push_back(depth_[state] + 1);
      found_.push_back(false);
      next_.resize(next_.size() + classes_, kStart);
    }
    state = next_[slot];
  }
  found_[state] = true;
}

// Breadth first: where no value goes on, the state goes on as the longest end of what was read that
// begins a value would.
void SecretAutomaton::Link() {
  std::vector<State> suffix(depth_.size(), kStart);
  std::deque<State> open;
  for (size_t i = 0; i < classes_; ++i) {
    if (next_[i] != kStart) open.push_back(next_[i]);
  }
  while (!open.empty()) {
    const State state = open.front();
    open.pop_front();
    if (found_[suffix[state]]) found_[state] = true;
    for (size_t i = 0; i < classes_; ++i) {
      State& next = next_[state * classes_ + i];
      const State elsewhere = next_[suffix[state] * classes_ + i];
      if (next == kStart) {
        next = elsewhere;
      } else {
        suffix[next] = elsewhere;
        open.push_back(next);
      }
    }
  }
}

// An occurrence has a window that begins within its first `stride_` bytes.
void SecretAutomaton::FillFilter(const std::vector<std::string>& values) {
  filter_.assign(kFilterBits / 64, 0);
  for (const std::string& value : values) {
    for (size_t at = 0; at < stride_; ++at) {
      const size_t bit = FilterBit(value.data() + at);
      filter_[bit / 64] |= uint64_t{1} << (bit % 64);
    }
  }
}

bool SecretAutomaton::MayBegin(const char* window) const {
  const size_t bit = FilterBit(window);
  return (filter_[bit / 64] >> (bit % 64) & 1) != 0;
}

bool SecretAutomaton::FeedPiece(Text& text, std::string_view piece, bool last) const {
  std::string& tail = text.tail_;
  const size_t most = longest_ - 1;  // what a secret can have on either side of a border
  const size_t before = tail.size();
  if (before > 0) {
    tail.append(piece.substr(0, most));
    if (tail.size() >= shortest_ && FindInside(tail)) return true;
  }
  if (last) {
    tail.clear();
  } else if (piece.size() >= most) {
    tail.assign(piece.substr(piece.size() - most));
  } else if (before == 0) {
    tail.assign(piece);
    return FindInside(piece);
  } else {
    if (tail.size() > most) tail.erase(0, tail.size() - most);
    return false;  // the piece was in it whole
  }
  return piece.size() >= shortest_ && FindInside(piece);
}

// Occurrences that lie wholly in `piece`.
bool SecretAutomaton::FindInside(std::string_view piece) const {
  const char* const text = piece.data();
  State state = kStart;
  size_t read = 0;  // by the automaton: no occurrence ends before it
  for (size_t at = 0; at + kWindowBytes <= piece.size(); at += stride_) {
    if (!MayBegin(text + at)) continue;
    const size_t first = at < stride_ ? 0 : at - stride_ + 1;
    if (read < first) {
      read = first;
      state = kStart;
    }
    // As long as what has been read may be an occurrence that holds this window.
    while (read < piece.size() && (read <= at || depth_[state] >= read - at)) {
      state = Next(state, text[read++]);
      if (found_[state]) return true;
    }
  }
  return false;
}

}  // namespace tao::contract
