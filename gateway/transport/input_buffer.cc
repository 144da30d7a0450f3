#include "gateway/transport/input_buffer.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

namespace tao::transport {
namespace {

// What a thread keeps of each size for the next reads: those of one turn of its loop.
constexpr size_t kKeptBlocks = 32;

struct BlockStore {
  std::vector<std::unique_ptr<char[]>> head_blocks, body_blocks;

  std::vector<std::unique_ptr<char[]>>* Of(size_t size) {
    if (size == InputBuffer::kHeadBlock) return &head_blocks;
    return size == InputBuffer::kBodyBlock ? &body_blocks : nullptr;
  }
};

thread_local BlockStore block_store;

}  // namespace

InputBuffer::Block::Block(size_t size) : size_(size) {
  std::vector<std::unique_ptr<char[]>>* const kept = block_store.Of(size);
  if (kept == nullptr || kept->empty()) {
    bytes_.reset(new char[size]);
    return;
  }
  bytes_ = std::move(kept->back());
  kept->pop_back();
}

InputBuffer::Block::~Block() {
  if (bytes_ == nullptr) return;
  std::vector<std::unique_ptr<char[]>>* const kept = block_store.Of(size_);
  if (kept != nullptr && kept->size() < kKeptBlocks) kept->push_back(std::move(bytes_));
}

boost::asio::mutable_buffer InputBuffer::Room() {
  if (pinned_ && head_.get() == nullptr) {
    head_ = std::exchange(block_, Block());
    begin_ = end_ = 0;
  }
  if (begin_ == end_) begin_ = end_ = 0;
  if (block_.get() == nullptr) block_ = Block(pinned_ ? kBodyBlock : kHeadBlock);
  if (end_ == block_.size()) {
    const size_t unread_bytes = end_ - begin_;
    if (unread_bytes <= block_.size() / 2) {
      std::memmove(block_.get(), block_.get() + begin_, unread_bytes);
    } else {
      Block larger(block_.size() * 2);
      std::memcpy(larger.get(), block_.get() + begin_, unread_bytes);
      block_ = std::move(larger);
    }
    begin_ = 0;
    end_ = unread_bytes;
  }
  return boost::asio::mutable_buffer(block_.get() + end_, block_.size() - end_);
}

void InputBuffer::PinHead(size_t bytes) {
  Consume(bytes);
  pinned_ = true;
}

void InputBuffer::Unpin() {
  pinned_ = false;
  head_ = Block();
}

void InputBuffer::ReleaseWhenEmpty() {
  if (begin_ != end_ || (pinned_ && head_.get() == nullptr)) return;
  block_ = Block();
  begin_ = end_ = 0;
}

http::BodyStep InputBuffer::TakeBody(http::BodyReader& body) {
  http::BodyStep taken;
  char* write = nullptr;  // the end of what was moved together
  while (true) {
    const http::BodyStep step = body.Next(unread());
    if (!step.data.empty()) {
      if (write == nullptr) {
        taken.data = step.data;
        write = const_cast<char*>(step.data.data()) + step.data.size();
      } else {
        std::memmove(write, step.data.data(), step.data.size());
        write += step.data.size();
        taken.data = {taken.data.data(), taken.data.size() + step.data.size()};
      }
    }
    Consume(step.consumed);
    taken.consumed += step.consumed;
    taken.state = step.state;
    if (step.state != http::BodyStep::State::kNeedMore || step.data.empty()) return taken;
  }
}

}  // namespace tao::transport
