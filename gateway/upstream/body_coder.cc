#include "gateway/upstream/body_coder.h"

namespace tao::upstream {

transport::Gather BodyCoder::Encode(const transport::BodyPiece& piece, std::string_view head) {
  transport::Gather out(head);
  if (!chunked_) {
    out.Add(piece.data);
    return out;
  }
  if (piece.data.empty() && !piece.last) return out;

  std::string_view before;  // held back by the call before
  if (holds_) before = {&held_[held_at_], 1};
  std::string_view data = piece.data;
  holds_ = !piece.last;
  if (holds_) {
    held_at_ = 1 - held_at_;
    held_[held_at_] = data.back();
    data.remove_suffix(1);
  }
  const size_t bytes = before.size() + data.size();
  if (bytes == 0) {
    out.Add(piece.last ? http::kLastChunk : "");
    return out;
  }
  header_.emplace(bytes);
  out.Add(header_->text());
  out.Add(before);
  out.Add(data);
  out.Add(piece.last ? "\r\n0\r\n\r\n" : http::kChunkEnd);
  return out;
}

}  // namespace tao::upstream
