#pragma once

// What happened on the wire, for tests: one JSON object a line, appended with one write each, so
// that several backends may share a file. Thread-safe. Only POST exchanges are noted, never a body
// or a field's value. Every line has event, time_ms (of the wall clock), pid, job_id, port,
// connection (from 1, in the order they were accepted), exchange (from 1 on each connection), and
// its own:
//   request_head      method, target
//   first_mib         body_bytes: what has arrived when the first MiB has
//   request_complete  body_bytes
//   reply_started     status
//   reply_first_mib   the kernel took the first MiB of the answer's body
//   reply_complete    status, reply_bytes (of the body, with its framing)
//   reply_cut         CLOSE_AT closed the connection; reply_bytes
//   client_left       phase: reading_head, reading_body, computing or replying; body_bytes;
//   reply_bytes bad_request       reason: the framing of the head or the body was refused shutdown
//   like client_left, but it was this backend that ended the exchange
// and, of the process alone, crash with exit_code.

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace tao::reference_backend {

struct ExchangeId {
  int64_t connection = 0;
  int64_t exchange = 0;
};

class ExchangeLog {
 public:
  using Value = std::variant<int64_t, std::string_view>;
  using Fields = std::initializer_list<std::pair<std::string_view, Value>>;

  // Null when the file cannot be opened, with the reason in errno. An empty path: a log that notes
  // nothing.
  static std::unique_ptr<ExchangeLog> Open(const std::string& path);
  ~ExchangeLog();
  ExchangeLog(const ExchangeLog&) = delete;
  ExchangeLog& operator=(const ExchangeLog&) = delete;

  // What every line tells of this process; call before the first Write.
  void Introduce(std::string job_id, uint16_t port);

  void Write(std::string_view event, ExchangeId id, Fields fields = {});

 private:
  explicit ExchangeLog(int file);

  const int file_;  // -1: none
  std::string job_id_;
  uint16_t port_ = 0;
};

}  // namespace tao::reference_backend
