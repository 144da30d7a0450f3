#include "docker/reference-backend/exchange_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>

namespace tao::reference_backend {

ExchangeLog::ExchangeLog(int file) : file_(file) {}

std::unique_ptr<ExchangeLog> ExchangeLog::Open(const std::string& path) {
  if (path.empty()) return std::unique_ptr<ExchangeLog>(new ExchangeLog(-1));
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) return nullptr;
  return std::unique_ptr<ExchangeLog>(new ExchangeLog(file));
}

ExchangeLog::~ExchangeLog() {
  if (file_ >= 0) ::close(file_);
}

void ExchangeLog::Introduce(std::string job_id, uint16_t port) {
  job_id_ = std::move(job_id);
  port_ = port;
}

void ExchangeLog::Write(std::string_view event, ExchangeId id, Fields fields) {
  if (file_ < 0) return;
  const std::chrono::duration<double, std::milli> now =
      std::chrono::system_clock::now().time_since_epoch();
  nlohmann::ordered_json line;
  line["event"] = event;
  line["time_ms"] = now.count();
  line["pid"] = ::getpid();
  line["job_id"] = job_id_;
  line["port"] = port_;
  if (id.connection > 0) {
    line["connection"] = id.connection;
    line["exchange"] = id.exchange;
  }
  for (const auto& [name, value] : fields) {
    std::visit([&line, key = std::string(name)](const auto& v) { line[key] = v; }, value);
  }
  const std::string text =
      line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  // A full disk must not change what the client sees; the test that reads the log misses the line.
  while (::write(file_, text.data(), text.size()) < 0 && errno == EINTR) {
  }
}

}  // namespace tao::reference_backend
