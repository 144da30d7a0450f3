#include "tests/bench/load_client.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace tao::bench {
namespace {

std::array<char, 1 << 18> input;

// Prose with the escapes that JSON text has, or, where it is long, what media looks like.
std::string Content(size_t bytes) {
  constexpr size_t kLongText = 64 * 1024;
  constexpr std::string_view kProse =
      "Describe what the forklift does in the second half of the video,\\nand say \\\"unsafe\\\" "
      "if it comes nearer than two metres to a person. ";
  constexpr std::string_view kBase64 =
      "AAAAIGZ0eXBpc29tAAACAGlzb21pc28yYXZjMW1wNDEAAAAIZnJlZQAC4tdtZGF0AAACrgYF//+q3EXpvebZSLeW";
  const std::string_view pattern = bytes > kLongText ? kBase64 : kProse;
  std::string out;
  out.reserve(bytes);
  while (out.size() + pattern.size() <= bytes) out.append(pattern);
  return out.append(bytes - out.size(), '.');
}

}  // namespace

std::string MakeRequest(const RequestOptions& options) {
  // Messages first and model last, as the library sends them.
  const std::string begin = R"({"messages":[{"role":"user","content":")";
  const std::string end =
      R"("}],"max_tokens":512,"temperature":0.2,"model":")" + options.service + "\"}";
  const size_t frame = begin.size() + end.size();
  const std::string body =
      begin + Content(options.body_bytes > frame ? options.body_bytes - frame : 0) + end;
  std::string head = "POST /v1/chat/completions";
  if (!options.query.empty()) head += "?" + options.query;
  head +=
      " HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nAccept-Encoding: gzip, deflate\r\n"
      "Connection: keep-alive\r\nAccept: application/json\r\nContent-Type: application/json\r\n"
      "User-Agent: OpenAI/Python 2.54.0\r\nX-Stainless-Lang: python\r\n"
      "X-Stainless-Package-Version: 2.54.0\r\nX-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\n"
      "X-Stainless-Runtime: CPython\r\nX-Stainless-Runtime-Version: 3.11.2\r\n"
      "X-Stainless-Async: false\r\nAuthorization: Bearer sk-0123456789abcdef0123456789abcdef\r\n"
      "x-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\n";
  if (options.by_header) head += "X-TAO-Job-ID: " + options.service + "\r\n";
  return head + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

LoadClient::LoadClient(Epoll& epoll, int port, Listener& listener)
    : fd_(ConnectTo(port)), listener_(listener) {
  epoll.Add(fd_, this);
}

void LoadClient::Send(std::string_view request, int64_t since) {
  unsent_ = request;
  since_ = since;
  busy_ = true;
  Write();
}

void LoadClient::Write() {
  while (!unsent_.empty()) {
    const ssize_t sent = ::send(fd_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) Fail("send");
    unsent_.remove_prefix(static_cast<size_t>(sent));
  }
}

void LoadClient::OnReady() {
  Write();
  while (true) {
    const ssize_t got = ::read(fd_, input.data(), input.size());
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) Fail("the proxy closed the connection");
    Read({input.data(), static_cast<size_t>(got)});
  }
}

void LoadClient::Read(std::string_view bytes) {
  if (!in_body_) {
    const size_t before = head_.size();
    head_.append(bytes);
    const size_t end = head_.find("\r\n\r\n");
    if (end == std::string::npos) return;
    bytes.remove_prefix(end + 4 - before);
    head_.resize(end + 4);
    BeginBody();
  }
  bool done = false;
  if (chunked_) {
    std::string data;
    done = dechunker_.Feed(bytes, &data);
    listener_.OnData(*this, data);
  } else {
    if (bytes.size() > body_left_) Fail("more than was asked for");
    body_left_ -= bytes.size();
    done = body_left_ == 0;
    listener_.OnData(*this, bytes);
  }
  if (!done) return;
  in_body_ = busy_ = false;
  head_.clear();
  dechunker_.Reset();
  listener_.OnAnswer(*this);
}

void LoadClient::BeginBody() {
  if (head_.substr(0, 13) != "HTTP/1.1 200 ") Fail("an error");
  if (!unsent_.empty()) Fail("an answer to half a request");
  in_body_ = true;
  chunked_ = FieldOf(head_, "transfer-encoding") == "chunked";
  body_left_ = std::strtoull(std::string(FieldOf(head_, "content-length")).c_str(), nullptr, 10);
  if (!chunked_ && body_left_ == 0) Fail("an answer without a length");
}

void LoadClient::Fail(std::string_view what) {
  std::fprintf(stderr, "bench-load: %s\n", std::string(what).c_str());
  Die(head_.substr(0, 600));
}

}  // namespace tao::bench
