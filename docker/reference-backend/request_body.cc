#include "docker/reference-backend/request_body.h"

#include <algorithm>
#include <charconv>
#include <string>

namespace tao::reference_backend {
namespace {

constexpr size_t kMaxLineBytes = 16 * 1024;  // of a chunk's size line, or of one trailer

bool ParseNumber(std::string_view text, int base, uint64_t& value) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, base);
  return error == std::errc() && stop == end && !text.empty();
}

}  // namespace

RequestBody::RequestBody(const RequestHead& head, Connection& connection,
                         std::function<void(uint64_t bytes)> on_bytes)
    : connection_(connection), on_bytes_(std::move(on_bytes)) {
  const size_t lengths = head.Count("content-length");
  const std::string* const coding = head.Find("transfer-encoding");
  wants_continue_ = !head.http_1_0 && head.HasToken("expect", "100-continue");
  if (coding != nullptr) {
    framing_ = Framing::kChunked;
    const bool only_chunked = *coding == "chunked" && head.Count("transfer-encoding") == 1;
    if (!only_chunked || lengths > 0 || head.http_1_0) state_ = State::kMalformed;
  } else if (lengths > 1 ||
             (lengths == 1 && !ParseNumber(*head.Find("content-length"), 10, left_))) {
    state_ = State::kMalformed;
  } else if (left_ > kMaxBytes) {
    state_ = State::kTooLarge;
  } else if (left_ == 0) {
    state_ = State::kComplete;
  }
}

std::string_view RequestBody::Next() {
  if (state_ == State::kReading && wants_continue_) {
    wants_continue_ = false;
    if (!connection_.Send("HTTP/1.1 100 Continue\r\n\r\n")) state_ = State::kLeft;
  }
  if (state_ == State::kReading && framing_ == Framing::kChunked && left_ == 0) {
    if (in_chunk_) EndChunk();
    if (state_ == State::kReading) BeginChunk();
  }
  if (state_ != State::kReading) return {};
  std::string_view piece = connection_.Peek();
  if (piece.empty()) {
    state_ = State::kLeft;
    return {};
  }
  piece = piece.substr(0, std::min<uint64_t>(piece.size(), left_));
  connection_.Consume(piece.size());
  left_ -= piece.size();
  bytes_ += piece.size();
  on_bytes_(bytes_);
  if (framing_ == Framing::kLength && left_ == 0) state_ = State::kComplete;
  return piece;
}

void RequestBody::Discard() {
  while (!Next().empty()) {
  }
}

bool RequestBody::ReadLine(std::string& line) {
  line.clear();
  for (;;) {
    const std::string_view arrived = connection_.Peek();
    if (arrived.empty()) {
      state_ = State::kLeft;
      return false;
    }
    const size_t end = arrived.find('\n');
    const size_t taken = std::min(end, arrived.size() - 1) + 1;
    line.append(arrived.substr(0, taken));
    connection_.Consume(taken);
    if (line.size() > kMaxLineBytes) break;
    if (end == std::string_view::npos) continue;
    if (line.size() < 2 || line[line.size() - 2] != '\r') break;
    line.resize(line.size() - 2);
    return true;
  }
  state_ = State::kMalformed;
  return false;
}

void RequestBody::BeginChunk() {
  std::string line;
  if (!ReadLine(line)) return;
  // Extensions after the size are allowed, and mean nothing here.
  if (!ParseNumber(std::string_view(line).substr(0, line.find_first_of("; \t")), 16, left_)) {
    state_ = State::kMalformed;
    return;
  }
  in_chunk_ = true;
  if (left_ > kMaxBytes - std::min(bytes_, kMaxBytes)) {
    state_ = State::kTooLarge;
  } else if (left_ == 0) {
    // The last chunk: trailers up to an empty line, dropped.
    while (ReadLine(line) && !line.empty()) {
    }
    if (state_ == State::kReading) state_ = State::kComplete;
  }
}

void RequestBody::EndChunk() {
  in_chunk_ = false;
  for (const char want : {'\r', '\n'}) {
    const std::string_view arrived = connection_.Peek();
    if (arrived.empty() || arrived[0] != want) {
      state_ = arrived.empty() ? State::kLeft : State::kMalformed;
      return;
    }
    connection_.Consume(1);
  }
}

}  // namespace tao::reference_backend
