#pragma once

// The bytes of a request's body, one by one, as the JSON parser reads them, with the long part of a
// base64 string left out and counted: so a video of hundreds of MB is neither held nor copied. Of
// the connection's thread.

#include <cstdint>
#include <iterator>
#include <string_view>

#include "docker/reference-backend/request_body.h"

namespace tao::reference_backend {

class JsonBytes {
 public:
  class Iterator;  // an input iterator over what is not left out

  explicit JsonBytes(RequestBody& body);

  // How many base64 digits were left out of the string read last: one run of them, which begins not
  // before kKeptBytes of the string. What follows it in the string is kept.
  uint64_t left_out() const { return left_out_; }

  bool AtEnd() const { return piece_.empty(); }
  char Current() const { return piece_.front(); }
  void Advance();

 private:
  static constexpr uint64_t kKeptBytes = 4096;  // more than an excerpt, or a data URI's head

  void LeaveOutRun();

  RequestBody& body_;
  std::string_view piece_;
  bool in_string_ = false;
  bool escaped_ = false;
  bool may_leave_out_ = false;
  uint64_t kept_ = 0;  // of the string
  uint64_t left_out_ = 0;
};

// Default-constructed, it is the end. Copies share the position, as input iterators may.
class JsonBytes::Iterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = char;

  Iterator() = default;
  explicit Iterator(JsonBytes& bytes) : bytes_(&bytes) {}

  char operator*() const { return bytes_->Current(); }
  Iterator& operator++() {
    bytes_->Advance();
    return *this;
  }
  void operator++(int) { bytes_->Advance(); }
  bool operator==(const Iterator& other) const { return AtEnd() == other.AtEnd(); }

 private:
  bool AtEnd() const { return bytes_ == nullptr || bytes_->AtEnd(); }

  JsonBytes* bytes_ = nullptr;
};

}  // namespace tao::reference_backend
