#include "docker/reference-backend/exchange.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>

namespace tao::reference_backend {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

// Python's http.HTTPStatus phrases.
std::string_view Phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 202:
      return "ACCEPTED";
    case 400:
      return "BAD REQUEST";
    case 404:
      return "NOT FOUND";
    case 405:
      return "METHOD NOT ALLOWED";
    case 413:
      return "REQUEST ENTITY TOO LARGE";
    case 431:
      return "REQUEST HEADER FIELDS TOO LARGE";
    case 500:
      return "INTERNAL SERVER ERROR";
    case 503:
      return "SERVICE UNAVAILABLE";
  }
  return "UNKNOWN";
}

std::string FormatTime(const char* format, bool local) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  local ? ::localtime_r(&now, &parts) : ::gmtime_r(&now, &parts);
  char text[64];
  std::strftime(text, sizeof text, format, &parts);
  return text;
}

}  // namespace

Exchange::Exchange(const Behaviour& behaviour, Connection& connection, ExchangeLog& log,
                   ExchangeId id, const std::string& peer)
    : behaviour_(behaviour), connection_(connection), log_(log), id_(id), peer_(peer) {}

bool Exchange::keep_alive() const {
  return behaviour_.keep_alive && !end_connection_ && !head.http_1_0 &&
         !head.HasToken("connection", "close");
}

std::string Exchange::ResponseHead(int status, std::string_view content_type,
                                   std::optional<uint64_t> length,
                                   std::string_view extra_fields) const {
  std::string text = behaviour_.http_1_0 ? "HTTP/1.0 " : "HTTP/1.1 ";
  text += std::to_string(status) + " ";
  text += Phrase(status);
  text +=
      behaviour_.keep_alive ? "\r\nServer: uvicorn" : "\r\nServer: Werkzeug/3.0.3 Python/3.12.3";
  text += "\r\nDate: " + FormatTime("%a, %d %b %Y %H:%M:%S GMT", /*local=*/false);
  text += "\r\nContent-Type: ";
  text += content_type;
  if (length) text += "\r\nContent-Length: " + std::to_string(*length);
  if (chunked_) text += "\r\nTransfer-Encoding: chunked";
  text += extra_fields;
  if (!keep_alive()) text += "\r\nConnection: close";
  return text + "\r\n\r\n";
}

bool Exchange::SendJson(const JsonReply& reply) {
  return SendWhole(reply.status, "application/json", reply.body, {});
}

bool Exchange::SendPage(int status, std::string_view extra_fields) {
  std::string title = std::to_string(status) + " ";
  title += Phrase(status);
  return SendWhole(
      status, "text/html; charset=utf-8",
      "<!doctype html>\n<html lang=en>\n<title>" + title + "</title>\n<h1>" + title + "</h1>\n",
      extra_fields);
}

bool Exchange::SendWhole(int status, std::string_view content_type, std::string_view body,
                         std::string_view extra_fields) {
  status_ = status;
  PrintAccess(status);
  Note("reply_started", {{"status", status}});
  std::string text = ResponseHead(status, content_type, body.size(), extra_fields);
  if (head.method == "HEAD") body = {};
  text += body;
  return SendBytes(text, body.size()) && End();
}

bool Exchange::Begin(int status, std::string_view content_type, std::optional<uint64_t> length) {
  status_ = status;
  chunked_ = !length && !behaviour_.http_1_0 && !head.http_1_0;
  if (!length && !chunked_) EndConnection();
  PrintAccess(status);
  Note("reply_started", {{"status", status}});
  return SendBytes(ResponseHead(status, content_type, length, {}), 0);
}

bool Exchange::Write(std::string_view piece) {
  if (piece.empty()) return true;  // an empty chunk would be the last one
  if (!chunked_) return SendBytes(piece, piece.size());
  char size[32];
  std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
  std::string chunk = size;
  chunk += piece;
  chunk += "\r\n";
  return SendBytes(chunk, chunk.size());
}

bool Exchange::End() {
  if (chunked_ && !SendBytes("0\r\n\r\n", 5)) return false;
  Note("reply_complete",
       {{"status", status_}, {"reply_bytes", static_cast<int64_t>(reply_bytes_)}});
  return true;
}

bool Exchange::SendBytes(std::string_view bytes, uint64_t body_bytes) {
  if (!connection_.Send(bytes)) {
    NoteLeft("replying");
    return false;
  }
  const bool first_mib = reply_bytes_ < kMiB && reply_bytes_ + body_bytes >= kMiB;
  reply_bytes_ += body_bytes;
  if (first_mib) Note("reply_first_mib");
  return true;
}

bool Exchange::Wait(Milliseconds duration, std::string_view phase) {
  if (duration <= Milliseconds(0)) return true;
  if (connection_.WaitWhileConnected(duration)) return true;
  NoteLeft(phase);
  return false;
}

void Exchange::NoteLeft(std::string_view phase) {
  Note(connection_.stopping() ? "shutdown" : "client_left",
       {{"phase", phase},
        {"body_bytes", static_cast<int64_t>(body_bytes_)},
        {"reply_bytes", static_cast<int64_t>(reply_bytes_)}});
}

void Exchange::Note(std::string_view event, ExchangeLog::Fields fields) {
  if (IsNoted()) log_.Write(event, id_, fields);
}

void Exchange::set_body_bytes(uint64_t bytes) {
  const bool first_mib = body_bytes_ < kMiB && bytes >= kMiB;
  body_bytes_ = bytes;
  if (first_mib) Note("first_mib", {{"body_bytes", static_cast<int64_t>(bytes)}});
}

// As Werkzeug logs it: 127.0.0.1 - - [31/Jan/2026 12:00:00] "GET / HTTP/1.1" 200 -
// Written past stdio, whose lock would be held for as long as nobody reads stderr.
void Exchange::PrintAccess(int status) const {
  const std::string line = peer_ + " - - [" + FormatTime("%d/%b/%Y %H:%M:%S", /*local=*/true) +
                           "] \"" + head.method + " " + head.target + " HTTP/1." +
                           (head.http_1_0 ? "0" : "1") + "\" " + std::to_string(status) + " -\n";
  while (::write(STDERR_FILENO, line.data(), line.size()) < 0 && errno == EINTR) {
  }
}

}  // namespace tao::reference_backend
