#include "gateway/transport/input_buffer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace tao::transport {
namespace {

void Put(InputBuffer& input, std::string_view bytes) {
  while (!bytes.empty()) {
    const boost::asio::mutable_buffer room = input.Room();
    ASSERT_GT(room.size(), 0U);
    const size_t count = std::min(room.size(), bytes.size());
    std::memcpy(room.data(), bytes.data(), count);
    input.Commit(count);
    bytes.remove_prefix(count);
  }
}

TEST(InputBufferTest, UnreadBytesStayTogetherWhileItGrows) {
  InputBuffer input;
  std::string all;
  for (int i = 0; i < 50; ++i) {
    const std::string piece(1000, static_cast<char>('a' + i % 26));
    Put(input, piece);
    all += piece;
    EXPECT_EQ(input.unread(), all);
    if (i % 7 == 6) {
      input.Consume(2500);
      all.erase(0, 2500);
    }
  }
}

TEST(InputBufferTest, PinnedHeadStaysWhereItIs) {
  InputBuffer input;
  Put(input, "HEADbody");
  const std::string_view head = input.unread().substr(0, 4);
  input.PinHead(4);
  EXPECT_EQ(input.unread(), "body");
  input.Consume(4);
  for (int i = 0; i < 10; ++i) {
    Put(input, std::string(60000, 'x'));
    input.Consume(60000);
    EXPECT_EQ(head, "HEAD");
  }
  Put(input, "NEXT");
  input.Unpin();
  EXPECT_EQ(input.unread(), "NEXT");
  Put(input, " and on");
  EXPECT_EQ(input.unread(), "NEXT and on");
}

TEST(InputBufferTest, BytesBehindTheHeadOutliveIt) {
  InputBuffer input;
  Put(input, "HEADNEXT");
  input.PinHead(4);
  input.Unpin();
  EXPECT_EQ(input.unread(), "NEXT");
}

// However many chunks were read at once, the body is one piece.
TEST(InputBufferTest, TakesTheBodyOutOfItsChunks) {
  InputBuffer input;
  Put(input, "3\r\nabc\r\n1;x\r\nd\r\n2\r\nef\r\n0\r\n\r\nNEXT");
  http::BodyReader body({http::BodyFraming::Kind::kChunked, 0});
  const http::BodyStep step = input.TakeBody(body);
  EXPECT_EQ(step.data, "abcdef");
  EXPECT_EQ(step.state, http::BodyStep::State::kDone);
  EXPECT_EQ(input.unread(), "NEXT");
}

TEST(InputBufferTest, TakesAnUnfinishedBodyAsFarAsItIs) {
  InputBuffer input;
  http::BodyReader body({http::BodyFraming::Kind::kLength, 6});
  Put(input, "abc");
  http::BodyStep step = input.TakeBody(body);
  EXPECT_EQ(step.data, "abc");
  EXPECT_EQ(step.state, http::BodyStep::State::kNeedMore);
  Put(input, "defNEXT");
  step = input.TakeBody(body);
  EXPECT_EQ(step.data, "def");
  EXPECT_EQ(step.state, http::BodyStep::State::kDone);
  EXPECT_EQ(input.unread(), "NEXT");
}

}  // namespace
}  // namespace tao::transport
