#include "gateway/http/body_reader.h"

#include <algorithm>

namespace tao::http {

BodyReader::BodyReader(const BodyFraming& framing, const ChunkedLimits& limits)
    : framing_(framing),
      chunked_(limits),
      done_(framing.kind == BodyFraming::Kind::kNone ||
            (framing.kind == BodyFraming::Kind::kLength && framing.length == 0)) {}

BodyStep BodyReader::Next(std::string_view input) {
  BodyStep step;
  if (!done_) {
    switch (framing_.kind) {
      case BodyFraming::Kind::kChunked:
        step = chunked_.Next(input);
        done_ = step.state == BodyStep::State::kDone;
        break;
      case BodyFraming::Kind::kLength:
        step.data =
            input.substr(0, std::min<uint64_t>(input.size(), framing_.length - body_bytes_));
        step.consumed = step.data.size();
        done_ = body_bytes_ + step.consumed == framing_.length;
        break;
      case BodyFraming::Kind::kUntilClose:
        step.data = input;
        step.consumed = input.size();
        break;
      case BodyFraming::Kind::kNone:
        break;
    }
    body_bytes_ += step.data.size();
  }
  if (done_) step.state = BodyStep::State::kDone;
  return step;
}

bool BodyReader::OnEof() {
  if (framing_.kind == BodyFraming::Kind::kUntilClose) done_ = true;
  return done_;
}

}  // namespace tao::http
