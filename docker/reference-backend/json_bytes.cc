#include "docker/reference-backend/json_bytes.h"

#include <algorithm>

#include "docker/reference-backend/base64.h"

namespace tao::reference_backend {

JsonBytes::JsonBytes(RequestBody& body) : body_(body), piece_(body.Next()) {}

void JsonBytes::Advance() {
  const char c = piece_.front();
  if (!in_string_) {
    in_string_ = c == '"';
    if (in_string_) {
      kept_ = left_out_ = 0;
      may_leave_out_ = true;
    }
  } else if (escaped_) {
    escaped_ = false;
  } else {
    escaped_ = c == '\\';
    in_string_ = c != '"';
  }
  ++kept_;
  piece_.remove_prefix(1);
  if (piece_.empty()) piece_ = body_.Next();
  if (in_string_ && !escaped_ && may_leave_out_ && kept_ > kKeptBytes) LeaveOutRun();
}

void JsonBytes::LeaveOutRun() {
  while (!piece_.empty()) {
    const auto end = std::find_if_not(piece_.begin(), piece_.end(), IsBase64Digit);
    const auto run = static_cast<size_t>(end - piece_.begin());
    left_out_ += run;
    piece_.remove_prefix(run);
    if (!piece_.empty()) break;
    piece_ = body_.Next();
  }
  may_leave_out_ = false;
}

}  // namespace tao::reference_backend
