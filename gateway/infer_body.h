#pragma once

// The body of a call of the API: texts, and bytes that go into it as base64. These are encoded as
// they are sent, so that a video is held once, not also a third larger. Externally synchronised.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/transport/input_buffer.h"

namespace tao::gateway {

class InferBody {
 public:
  InferBody() = default;
  // A whole body is one.
  InferBody(std::string json);
  InferBody(const char* json);

  // Both append. Empty ones leave no trace.
  void AddText(std::string text);
  void AddBase64(std::string bytes);

  // Of the body as it is sent.
  uint64_t size() const { return size_; }

  // The next bytes, valid until the next call; not called after the last. What was sent is
  // released, as far as it stands in parts of its own.
  transport::BodyPiece Next();

 private:
  struct Part {
    std::string bytes;
    bool base64 = false;
  };

  std::vector<Part> parts_;
  uint64_t size_ = 0;
  size_t next_ = 0;      // the part to send from
  size_t position_ = 0;  // in it
  std::string encoded_;  // what Next returned last
};

}  // namespace tao::gateway
