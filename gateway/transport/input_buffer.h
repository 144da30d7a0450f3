#pragma once

// The bytes that came in on one connection and are not dealt with yet. A head is parsed in place
// and stays where it is while its message is worked on; the body that follows goes through a block
// of its own. Externally synchronised.

#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>

#include <boost/asio/buffer.hpp>
#include "gateway/http/body_reader.h"

namespace tao::transport {

// Bytes of a body, in whatever framing they came.
struct BodyPiece {
  std::string_view data;
  bool last = false;  // the body ends with them; they may be empty then
};

class InputBuffer {
 public:
  static constexpr size_t kHeadBlock = 16 * 1024;  // to begin with; grows with the head
  static constexpr size_t kBodyBlock = 64 * 1024;  // how much of a body is in hand at once

  std::string_view unread() const { return {block_.get() + begin_, end_ - begin_}; }
  void Consume(size_t bytes) { begin_ += bytes; }

  // Room for the next read, after what is unread. Without a pinned head the unread bytes stay
  // together, and may move; behind one, everything must have been consumed.
  boost::asio::mutable_buffer Room();
  void Commit(size_t bytes) { end_ += bytes; }

  // The first `bytes` of unread() are a head: consumed, but they stay in place until Unpin.
  void PinHead(size_t bytes);
  // The message is over: the unread bytes begin the next one.
  void Unpin();

  // Gives the block of reads back where nothing is unread, for a connection that waits: it may wait
  // for minutes. The next one to read takes it, mostly while the processor still has it at hand.
  void ReleaseWhenEmpty();
  // Of memory.
  size_t held_bytes() const { return block_.size() + head_.size(); }

  // Takes the next body bytes out of unread(), by the framing in `body`: all that are there, moved
  // together where chunk headers stood between them. Valid until Room.
  http::BodyStep TakeBody(http::BodyReader& body);

 private:
  // Memory of a size that is given back to the thread's store of blocks.
  class Block {
   public:
    Block() = default;
    explicit Block(size_t size);
    Block(Block&& other) noexcept
        : bytes_(std::move(other.bytes_)), size_(std::exchange(other.size_, 0)) {}
    Block& operator=(Block&& other) noexcept {
      std::swap(bytes_, other.bytes_);
      std::swap(size_, other.size_);
      return *this;
    }
    ~Block();
    char* get() const { return bytes_.get(); }
    size_t size() const { return size_; }

   private:
    std::unique_ptr<char[]> bytes_;
    size_t size_ = 0;
  };

  Block block_;  // where reads go
  size_t begin_ = 0;
  size_t end_ = 0;
  bool pinned_ = false;
  Block head_;  // the pinned head's block, once reads go elsewhere
};

}  // namespace tao::transport
