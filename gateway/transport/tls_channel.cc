#include "gateway/transport/tls_channel.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "gateway/transport/connection.h"

namespace tao::transport {
namespace {

using boost::system::error_code;

// Boost's base class has a protected destructor, and friends that GCC takes for access to it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"
class Category final : public boost::system::error_category {
 public:
  const char* name() const noexcept override { return "TLS"; }
  std::string message(int value) const override {
    const auto code = static_cast<unsigned long>(static_cast<unsigned int>(value));
    switch (ERR_GET_REASON(code)) {
      case SSL_R_UNEXPECTED_EOF_WHILE_READING:
        return "closed the connection without TLS's close_notify";
      case SSL_R_WRONG_VERSION_NUMBER:
        return "what it says is not TLS; is it plain http?";
      case SSL_R_UNSUPPORTED_PROTOCOL:
      case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        return "it speaks no TLS 1.2 or newer";
      default:
        break;
    }
    const char* const reason = ERR_reason_error_string(code);
    return reason != nullptr ? std::string("TLS: ") + reason : "TLS failed";
  }
};
#pragma GCC diagnostic pop

// OpenSSL's own BIO for sockets writes without MSG_NOSIGNAL. The descriptor is kept as the data; -1
// once there is none.
int FdOf(BIO* bio) { return static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio))); }

bool IsTransient(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

// Until it is not interrupted: of that no event would tell.
template <typename Call>
ssize_t Uninterrupted(Call call) {
  ssize_t result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

int WriteSocket(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  const auto send = [&] {
    return ::send(FdOf(bio), data, static_cast<size_t>(size), MSG_NOSIGNAL);
  };
  const ssize_t sent = Uninterrupted(send);
  if (sent < 0 && IsTransient(errno)) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

int ReadSocket(BIO* bio, char* data, int size) {
  BIO_clear_retry_flags(bio);
  const auto receive = [&] { return ::recv(FdOf(bio), data, static_cast<size_t>(size), 0); };
  const ssize_t got = Uninterrupted(receive);
  if (got < 0 && IsTransient(errno)) BIO_set_retry_read(bio);
  if (got == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  return static_cast<int>(got);
}

long ControlSocket(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
  return 0;
}

BIO_METHOD* SocketMethod() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* const made =
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "non-blocking socket");
    BIO_meth_set_write(made, &WriteSocket);
    BIO_meth_set_read(made, &ReadSocket);
    BIO_meth_set_ctrl(made, &ControlSocket);
    return made;
  }();
  return method;
}

}  // namespace

const boost::system::error_category& TlsCategory() {
  static const Category category;
  return category;
}

void FreeSsl::operator()(SSL* ssl) const {
  // Without this OpenSSL takes an abrupt end for a sign that its session must not be used again.
  SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(ssl);
}

TlsChannel::TlsChannel(UniqueSsl ssl, std::string origin)
    : ssl_(std::move(ssl)), origin_(std::move(origin)) {
  SSL_set_app_data(ssl_.get(), this);
  SSL_set_mode(ssl_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                               SSL_MODE_RELEASE_BUFFERS);
}

void TlsChannel::Attach(int fd) {
  BIO* const bio = BIO_new(SocketMethod());
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(fd)));
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
}

void TlsChannel::Detach() {
  if (BIO* const bio = SSL_get_rbio(ssl_.get())) {
    BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(-1)));
  }
}

TlsChannel::Step TlsChannel::Handshake() {
  ERR_clear_error();
  errno = 0;
  const Step step = ToStep(SSL_connect(ssl_.get()));
  established_ = step == Step::kDone;
  return step;
}

TlsChannel::Step TlsChannel::Read(net::mutable_buffer room, size_t* bytes) {
  if (error_) return Step::kFailed;
  *bytes = 0;
  auto* const begin = static_cast<char*>(room.data());
  do {
    size_t got = 0;
    ERR_clear_error();
    errno = 0;
    const int result = SSL_read_ex(ssl_.get(), begin + *bytes, room.size() - *bytes, &got);
    if (result <= 0) {
      const Step step = ToStep(result);
      return *bytes > 0 ? Step::kDone : step;  // what was read first; the rest in the next call
    }
    *bytes += got;
    // More that OpenSSL has in hand, but nothing for which it would ask the socket.
  } while (*bytes < room.size() && SSL_has_pending(ssl_.get()) != 0);
  return Step::kDone;
}

TlsChannel::Step TlsChannel::Write(const Gather& text, size_t* bytes) {
  if (error_) return Step::kFailed;
  *bytes = 0;
  net::const_buffer piece;
  if (staged_ > 0) {
    piece = net::const_buffer(record_.get(), staged_);
  } else {
    for (const net::const_buffer& candidate : text.pieces()) {
      piece = candidate;
      if (piece.size() > 0) break;
    }
    if (piece.size() < kRecordBytes && piece.size() < net::buffer_size(text.pieces())) {
      if (record_ == nullptr) record_ = std::make_unique<char[]>(kRecordBytes);
      staged_ = net::buffer_copy(net::buffer(record_.get(), kRecordBytes), text.pieces());
      piece = net::const_buffer(record_.get(), staged_);
    }
  }
  ERR_clear_error();
  errno = 0;
  const Step step = ToStep(SSL_write_ex(ssl_.get(), piece.data(), piece.size(), bytes));
  write_pending_ = step != Step::kDone;
  if (!write_pending_) staged_ = 0;
  return step;
}

bool TlsChannel::IsQuiet() {
  if (error_) return false;
  char byte = 0;
  size_t got = 0;
  ERR_clear_error();
  errno = 0;
  const int result = SSL_peek_ex(ssl_.get(), &byte, 1, &got);
  // Not the beginning of a record either: whatever it will say, it was not asked.
  return result <= 0 && ToStep(result) == Step::kWantsRead && SSL_has_pending(ssl_.get()) == 0;
}

void TlsChannel::SayGoodbye() {
  if (!established_ || error_ || write_pending_) return;
  ERR_clear_error();
  static_cast<void>(SSL_shutdown(ssl_.get()));  // what the socket does not take now is not said
}

TlsChannel::Step TlsChannel::ToStep(int result) {
  const int system_error = errno;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_NONE:
      return Step::kDone;
    case SSL_ERROR_WANT_READ:
      return Step::kWantsRead;
    case SSL_ERROR_WANT_WRITE:
      return Step::kWantsWrite;
    case SSL_ERROR_ZERO_RETURN:
      return Step::kEnd;
    case SSL_ERROR_SYSCALL:
      return Fail(error_code(system_error != 0 ? system_error : ECONNRESET,
                             boost::system::system_category()));
    default:
      return Fail(
          error_code(static_cast<int>(static_cast<unsigned int>(ERR_peek_error())), TlsCategory()));
  }
}

TlsChannel::Step TlsChannel::Fail(error_code error) {
  error_ = error;
  return Step::kFailed;
}

}  // namespace tao::transport
