// Connection over loopback: what must hold whatever the order in which events, time-outs and calls
// come. The loop runs in the test's own thread, turn by turn.

#include "gateway/transport/connection.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace tao::transport {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(40);

std::string Pattern(size_t bytes) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>('a' + i * 7 % 26);
  return text;
}

class ConnectionTest : public testing::Test {
 protected:
  ConnectionTest() {
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener, 1), 0);
    EXPECT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
    peer_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::connect(peer_, reinterpret_cast<sockaddr*>(&address), size), 0);
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    ::close(listener);
    connection_.emplace(TcpSocket(fd), wheel_);
  }
  ~ConnectionTest() override { ClosePeer(); }

  void Turn() { loop_.RunOnce(absl::ZeroDuration()); }
  // Turns the loop until it is so.
  testing::AssertionResult Reaches(const std::function<bool()>& condition) {
    const absl::Duration end = DeadlineWheel::After(kLimit);
    while (!condition()) {
      if (DeadlineWheel::Now() >= end) return testing::AssertionFailure() << "not within 40 s";
      loop_.RunOnce(absl::Milliseconds(10));
    }
    return testing::AssertionSuccess();
  }

  void Say(std::string_view text) {
    ASSERT_EQ(::send(peer_, text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  // What the peer gets until there are `bytes`, or the end. Blocks.
  std::string Hear(size_t bytes) {
    std::string heard(bytes, '\0');
    const ssize_t got = ::recv(peer_, heard.data(), bytes, MSG_WAITALL);
    heard.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return heard;
  }
  void ClosePeer() {
    if (peer_ >= 0) ::close(std::exchange(peer_, -1));
  }

  // Begins one; what became of it is in read_ or written_.
  Task<void> Read(absl::Duration limit = kLimit) {
    read_.reset();
    read_ = co_await connection_->Read(input_, DeadlineWheel::After(limit));
  }
  Task<void> Write(std::string_view text, absl::Duration limit = kLimit) {
    written_.reset();
    const Gather gather(text);
    written_ = co_await connection_->Write(gather, DeadlineWheel::After(limit));
  }
  Task<void> SendFile(int fd, uint64_t offset, size_t count) {
    written_.reset();
    written_ = co_await connection_->SendFile(fd, offset, count, DeadlineWheel::After(kLimit));
  }

  EventLoop loop_;
  DeadlineWheel wheel_{loop_};
  int peer_ = -1;
  InputBuffer input_;
  std::optional<Connection> connection_;
  std::optional<IoResult> read_;
  std::optional<IoResult> written_;
};

TEST_F(ConnectionTest, ReadsWhatIsThereWithoutATurn) {
  Say("hello");
  Read().Detach();
  ASSERT_TRUE(Reaches([&] { return read_.has_value(); }));
  EXPECT_EQ(input_.unread(), "hello");
}

TEST_F(ConnectionTest, ReadsAgainAfterAShortRead) {
  for (const char* const word : {"one", "two", "three"}) {
    Read().Detach();
    Turn();
    EXPECT_FALSE(read_.has_value());
    Say(word);
    ASSERT_TRUE(Reaches([&] { return read_.has_value(); }));
    EXPECT_EQ(input_.unread(), word);
    input_.Consume(input_.unread().size());
  }
}

TEST_F(ConnectionTest, TheEndComesBehindTheLastBytes) {
  Say("last");
  ASSERT_EQ(::shutdown(peer_, SHUT_WR), 0);
  Turn();
  Read().Detach();
  ASSERT_TRUE(Reaches([&] { return read_.has_value(); }));
  EXPECT_TRUE(read_->ok());
  EXPECT_EQ(input_.unread(), "last");
  Read().Detach();
  ASSERT_TRUE(Reaches([&] { return read_.has_value(); }));
  EXPECT_EQ(read_->error, IoError::kEof);
}

TEST_F(ConnectionTest, AReadEndsAtItsDeadline) {
  Read(absl::Milliseconds(1)).Detach();
  ASSERT_TRUE(Reaches([&] { return read_.has_value(); }));
  EXPECT_EQ(read_->error, IoError::kTimeout);
  Say("late");
  Read().Detach();
  ASSERT_TRUE(Reaches([&] { return read_.has_value(); }));
  EXPECT_EQ(input_.unread(), "late");
}

TEST_F(ConnectionTest, AWaitingReadHoldsNoBlock) {
  Read().Detach();
  EXPECT_EQ(input_.held_bytes(), 0U);
  Turn();  // that the socket can be written to
  EXPECT_EQ(input_.held_bytes(), 0U);
  Say("x");
  ASSERT_TRUE(Reaches([&] { return read_.has_value(); }));
  EXPECT_GT(input_.held_bytes(), 0U);
}

TEST_F(ConnectionTest, AWriteLargerThanAllBuffersGoesOnAsThePeerReads) {
  const std::string text = Pattern(32 << 20);
  Write(text).Detach();
  Turn();
  EXPECT_FALSE(written_.has_value());
  std::string heard;
  std::thread reader([&] { heard = Hear(text.size()); });
  EXPECT_TRUE(Reaches([&] { return written_.has_value(); }));
  reader.join();
  EXPECT_EQ(written_->bytes, text.size());
  EXPECT_TRUE(heard == text);
}

TEST_F(ConnectionTest, AWriteThatThePeerDoesNotReadEndsAtItsDeadline) {
  const std::string text = Pattern(32 << 20);
  Write(text, absl::Milliseconds(1)).Detach();
  ASSERT_TRUE(Reaches([&] { return written_.has_value(); }));
  EXPECT_EQ(written_->error, IoError::kTimeout);
  EXPECT_GT(written_->bytes, 0U);
  EXPECT_LT(written_->bytes, text.size());
}

TEST_F(ConnectionTest, SendsTheFilesBytesAsThePeerReads) {
  const std::string text = Pattern(32 << 20);
  const int file = ::memfd_create("body", MFD_CLOEXEC);
  ASSERT_EQ(::write(file, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  const size_t offset = 4321;
  const size_t count = text.size() - 2 * offset;
  SendFile(file, offset, count).Detach();
  Turn();
  EXPECT_FALSE(written_.has_value());
  std::string heard;
  std::thread reader([&] { heard = Hear(count); });
  EXPECT_TRUE(Reaches([&] { return written_.has_value(); }));
  reader.join();
  ::close(file);
  EXPECT_TRUE(written_->ok());
  EXPECT_EQ(written_->bytes, count);
  EXPECT_TRUE(heard == text.substr(offset, count));
}

TEST_F(ConnectionTest, AFileThatIsShorterThanSaidIsAnError) {
  const int file = ::memfd_create("body", MFD_CLOEXEC);
  ASSERT_EQ(::write(file, "short", 5), 5);
  SendFile(file, 0, 6).Detach();
  ASSERT_TRUE(Reaches([&] { return written_.has_value(); }));
  ::close(file);
  EXPECT_EQ(written_->error, IoError::kReset);
  EXPECT_EQ(written_->code.value(), EIO);
  EXPECT_EQ(written_->bytes, 5U);
  Write("next").Detach();
  ASSERT_TRUE(Reaches([&] { return written_.has_value(); }));
  EXPECT_TRUE(written_->ok());
  EXPECT_EQ(Hear(9), "shortnext");
}

TEST_F(ConnectionTest, StoppingAStuckWriteEndsIt) {
  const std::string text = Pattern(32 << 20);
  Write(text).Detach();
  Turn();
  connection_->StopStuckWrite();
  EXPECT_FALSE(written_.has_value());  // in the loop's turn, not in the caller's
  Turn();
  ASSERT_TRUE(written_.has_value());
  EXPECT_EQ(written_->error, IoError::kStopped);
  Write("more").Detach();
  EXPECT_EQ(written_->error, IoError::kStopped);
}

// A write may wait for the end of the turn only. Whoever stops writers that wait for their clients
// then must not stop that one, nor those after it.
TEST_F(ConnectionTest, StoppingAStuckWriteLetsOneGoThatOnlyWaitsForItsTurn) {
  class Caller : public EventLoop::Watcher {
   public:
    explicit Caller(std::function<void()> call) : call_(std::move(call)) {}
    void OnEvents(uint32_t) override { call_(); }

   private:
    std::function<void()> call_;
  };
  bool deferred = false;
  const auto write = [&] {
    if (written_.has_value() || deferred) return;
    Write("words").Detach();
    if (written_.has_value()) return;
    deferred = true;
    connection_->StopStuckWrite();
  };
  Turn();                           // what there is to hear of the connection itself
  Caller one(write), other(write);  // the first of them to be called has the other behind it
  std::array<int, 2> ends;
  ASSERT_EQ(::pipe(ends.data()), 0);
  ASSERT_TRUE(loop_.Add(ends[0], EPOLLIN, &one));
  ASSERT_TRUE(loop_.Add(ends[1], EPOLLOUT, &other));
  ASSERT_EQ(::write(ends[1], "x", 1), 1);
  Turn();
  EXPECT_TRUE(deferred);
  ASSERT_TRUE(Reaches([&] { return written_.has_value(); }));
  EXPECT_TRUE(written_->ok());
  EXPECT_EQ(Hear(5), "words");
  Write("last words").Detach();
  ASSERT_TRUE(Reaches([&] { return written_.has_value(); }));
  EXPECT_TRUE(written_->ok());
  loop_.Remove(ends[0], &one);
  loop_.Remove(ends[1], &other);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(ConnectionTest, AbortEndsAReadAndAWriteThatWait) {
  const std::string text = Pattern(32 << 20);
  Read().Detach();
  Write(text).Detach();
  Turn();
  connection_->Abort();
  ASSERT_TRUE(Reaches([&] { return read_.has_value() && written_.has_value(); }));
  EXPECT_EQ(read_->error, IoError::kStopped);
  EXPECT_EQ(written_->error, IoError::kStopped);
  Read().Detach();
  Write("x").Detach();
  EXPECT_EQ(read_->error, IoError::kStopped);
  EXPECT_EQ(written_->error, IoError::kStopped);
}

// What was posted before a read goes first, and may be the end of the connection.
TEST_F(ConnectionTest, AbortEndsAReadThatHasSucceededAndWaitsForItsTurn) {
  Say("x");
  Turn();
  loop_.Post([&] { connection_->Abort(); });
  Read().Detach();
  EXPECT_FALSE(read_.has_value());
  ASSERT_TRUE(Reaches([&] { return read_.has_value(); }));
  EXPECT_EQ(read_->bytes, 1U);
  Read().Detach();
  EXPECT_EQ(read_->error, IoError::kStopped);
}

TEST_F(ConnectionTest, TellsOfAHangupBehindUnreadBytes) {
  int hangups = 0;
  connection_->OnHangup([&] { ++hangups; });
  Say("never read");
  Turn();
  EXPECT_EQ(hangups, 0);
  ASSERT_EQ(::shutdown(peer_, SHUT_WR), 0);
  ASSERT_TRUE(Reaches([&] { return hangups > 0; }));
  Turn();
  EXPECT_EQ(hangups, 1);
}

TEST_F(ConnectionTest, IsQuietUntilThePeerSaysSomethingOrLeaves) {
  Turn();
  EXPECT_TRUE(connection_->IsQuiet());
  Say("unasked");
  ASSERT_TRUE(Reaches([&] { return !connection_->IsQuiet(); }));
  Read().Detach();
  EXPECT_TRUE(connection_->IsQuiet());
  ClosePeer();
  ASSERT_TRUE(Reaches([&] { return !connection_->IsQuiet(); }));
}

TEST_F(ConnectionTest, AResetIsToldToWhoWaits) {
  Read().Detach();
  const linger at_once = {1, 0};
  ::setsockopt(peer_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  ClosePeer();
  ASSERT_TRUE(Reaches([&] { return read_.has_value(); }));
  EXPECT_EQ(read_->error, IoError::kReset);
}

TEST_F(ConnectionTest, AConnectionThatIsRefusedSaysWhy) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  // Bound and not listening: nobody else can have the port meanwhile.
  const int bound = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(bound, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::getsockname(bound, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ASSERT_TRUE(::connect(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 ||
              errno == EINPROGRESS);
  Connection connecting(TcpSocket(fd), wheel_, true);
  std::optional<IoResult> result;
  const auto wait = [&]() -> Task<void> { result = co_await connecting.AwaitConnected(); };
  wait().Detach();
  ASSERT_TRUE(Reaches([&] { return result.has_value(); }));
  ::close(bound);
  EXPECT_EQ(result->error, IoError::kReset);
  EXPECT_EQ(result->code.value(), ECONNREFUSED);
}

}  // namespace
}  // namespace tao::transport
