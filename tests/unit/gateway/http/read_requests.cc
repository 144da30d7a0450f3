#include "gateway/http/authority.h"
#include "gateway/http/body_reader.h"
#include "gateway/http/framing.h"
#include "gateway/http/head_parser.h"
#include "gateway/http/hop_by_hop.h"
#include "gateway/http/route_target.h"
#include "tests/unit/gateway/http/corpus.h"

#include <gtest/gtest.h>

#include <memory>

namespace tao::http {
namespace {

// One connection's reading side, as a session does it, without sockets.
class Connection {
 public:
  explicit Connection(std::string* body) : body_(body) {}

  // False after a refusal.
  bool Read(std::string_view piece) {
    auto grown = std::make_unique<std::string>(*buffer_);
    grown->append(piece);
    grown->shrink_to_fit();
    buffer_ = std::move(grown);
    for (;;) {
      if (!in_body_ && !ReadHead()) return !refused_;
      if (!ReadBody()) return !refused_;
    }
  }

  std::string Seen() const {
    const bool partial = in_body_ || parser_.started();
    return partial && !refused_ ? Joined(seen_, "more") : seen_;
  }

 private:
  static std::string Joined(std::string list, const std::string& item) {
    return list.empty() ? item : list + ", " + item;
  }

  bool Refuse(const MessageError& error) {
    refused_ = true;
    seen_ = Joined(seen_, std::to_string(error.status));
    EXPECT_FALSE(error.reason.empty());
    return false;
  }

  bool ReadHead() {
    switch (parser_.Parse(*buffer_)) {
      case ParseState::kNeedMore:
        return false;
      case ParseState::kError:
        return Refuse(parser_.error());
      case ParseState::kComplete:
        break;
    }
    const RequestHead& head = parser_.head();
    BodyFraming framing;
    Authority authority;
    Forwarding forwarding;
    RouteTarget target;
    std::string scratch;
    if (MessageError error = DecideRequestFraming(head, &framing)) return Refuse(error);
    if (MessageError error = DecideAuthority(head, &authority)) return Refuse(error);
    if (MessageError error = SelectRequestFields(head, &forwarding)) return Refuse(error);
    if (MessageError error = ParseRouteTarget(head, &scratch, &target)) return Refuse(error);
    request_ = std::string(NameOf(head.method)) + " " + std::string(target.normal_path);
    closes_ = !KeepsConnection(head.version, forwarding);
    reader_ = BodyReader(framing);
    in_body_ = true;
    buffer_->erase(0, parser_.head_bytes());
    parser_.Reset();
    return true;
  }

  bool ReadBody() {
    std::string_view input = *buffer_;
    BodyStep step;
    do {
      step = reader_.Next(input);
      if (body_ != nullptr) body_->append(step.data);
      input.remove_prefix(step.consumed);
    } while (step.state == BodyStep::State::kNeedMore && !step.data.empty());
    if (step.state == BodyStep::State::kError) return Refuse(reader_.error());
    if (step.state == BodyStep::State::kNeedMore) {
      EXPECT_TRUE(input.empty());
      buffer_->clear();
      return false;
    }
    buffer_->erase(0, buffer_->size() - input.size());
    seen_ = Joined(seen_, request_ + " " + std::to_string(reader_.body_bytes()));
    in_body_ = false;
    if (closes_) {
      refused_ = true;  // nothing behind it is read
      return false;
    }
    return true;
  }

  std::unique_ptr<std::string> buffer_ = std::make_unique<std::string>();
  RequestHeadParser parser_;
  BodyReader reader_;
  std::string request_;
  std::string seen_;
  std::string* body_;
  bool in_body_ = false;
  bool closes_ = false;
  bool refused_ = false;
};

}  // namespace

std::string ReadRequests(const std::vector<std::string_view>& pieces, std::string* body) {
  if (body != nullptr) body->clear();
  Connection connection(body);
  for (const std::string_view piece : pieces) {
    if (!connection.Read(piece)) break;
  }
  return connection.Seen();
}

std::vector<std::string_view> CutAt(std::string_view bytes, const std::vector<size_t>& positions) {
  std::vector<std::string_view> pieces;
  size_t begin = 0;
  for (const size_t position : positions) {
    pieces.push_back(bytes.substr(begin, position - begin));
    begin = position;
  }
  pieces.push_back(bytes.substr(begin));
  return pieces;
}

std::vector<std::string_view> OnePiece(std::string_view bytes) { return {bytes}; }

std::vector<std::string_view> ByteByByte(std::string_view bytes) {
  std::vector<std::string_view> pieces;
  for (size_t i = 0; i < bytes.size(); ++i) pieces.push_back(bytes.substr(i, 1));
  return pieces;
}

std::vector<std::string_view> CutBetweenCrAndLf(std::string_view bytes) {
  std::vector<size_t> positions;
  for (size_t i = 1; i < bytes.size(); ++i) {
    if (bytes[i - 1] == '\r' && bytes[i] == '\n') positions.push_back(i);
  }
  return CutAt(bytes, positions);
}

}  // namespace tao::http
