#include "gateway/transport/input_buffer.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace tao::transport {

net::mutable_buffer InputBuffer::Room() {
  if (pinned_ && head_ == nullptr) {
    head_ = std::exchange(block_, Block(new char[kBodyBlock]));
    size_ = kBodyBlock;
    begin_ = end_ = 0;
  }
  if (begin_ == end_) begin_ = end_ = 0;
  if (end_ == size_) {
    const size_t unread_bytes = end_ - begin_;
    if (unread_bytes <= size_ / 2 && size_ > 0) {
      std::memmove(block_.get(), block_.get() + begin_, unread_bytes);
    } else {
      size_ = std::max(kHeadBlock, size_ * 2);
      Block larger(new char[size_]);
      if (unread_bytes > 0) std::memcpy(larger.get(), block_.get() + begin_, unread_bytes);
      block_ = std::move(larger);
    }
    begin_ = 0;
    end_ = unread_bytes;
  }
  return net::mutable_buffer(block_.get() + end_, size_ - end_);
}

void InputBuffer::PinHead(size_t bytes) {
  Consume(bytes);
  pinned_ = true;
}

void InputBuffer::Unpin() {
  pinned_ = false;
  head_.reset();
}

void InputBuffer::ShrinkWhenEmpty() {
  if (begin_ != end_ || pinned_) return;
  block_.reset();
  size_ = begin_ = end_ = 0;
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
