#include "server/io/http_client.h"

#include <absl/strings/str_format.h>
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>
#include <thread>

#include "server/base/mutex.h"
#include "server/base/strings.h"
#include "server/io/file.h"
#include "tests/fakes/fake_upstream.h"
#include "tests/fakes/tls_front.h"

namespace tao::io {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// HTTP/1.1 over loopback: each request, as text, is answered with the bytes that `answer` gives.
// nullopt: closed without an answer. "": no answer until the client leaves.
class Server {
 public:
  using Answer = std::function<std::optional<std::string>(const std::string& request)>;

  explicit Server(Answer answer) : answer_(std::move(answer)) {
    listener_ = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(listener_.get(), any, size), 0);
    EXPECT_EQ(listen(listener_.get(), 128), 0);
    EXPECT_EQ(getsockname(listener_.get(), any, &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Accept(); });
  }
  ~Server() {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
    for (Connection& connection : connections_) {
      shutdown(connection.fd.get(), SHUT_RDWR);  // the client keeps its end for the next request
      connection.thread.join();
    }
  }

  std::string Url(const std::string& path = "/") const {
    return absl::StrFormat("http://127.0.0.1:%d%s", port_, path);
  }
  size_t connections() const { return accepted_; }

 private:
  struct Connection {
    UniqueFd fd;
    std::thread thread;
  };

  void Accept() {
    while (true) {
      UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!connection.valid()) return;
      ++accepted_;
      const int fd = connection.get();
      connections_.push_back({std::move(connection), std::thread([this, fd] {
                                Serve(fd);
                                shutdown(fd, SHUT_RDWR);
                              })});
    }
  }

  void Serve(int fd) const {
    std::string received;
    char buffer[4096];
    while (true) {
      const size_t whole = LengthOfFirst(received);
      if (whole == 0) {
        const ssize_t got = recv(fd, buffer, sizeof(buffer), 0);
        if (got <= 0) return;
        received.append(buffer, static_cast<size_t>(got));
        continue;
      }
      const std::optional<std::string> answer = answer_(received.substr(0, whole));
      received.erase(0, whole);
      if (!answer.has_value()) return;
      size_t sent = 0;
      while (sent < answer->size()) {
        const ssize_t once = send(fd, answer->data() + sent, answer->size() - sent, MSG_NOSIGNAL);
        if (once <= 0) return;
        sent += static_cast<size_t>(once);
      }
      if (answer->find("Connection: close") != std::string::npos) return;
    }
  }

  // 0: not whole yet.
  static size_t LengthOfFirst(const std::string& text) {
    const size_t end = text.find("\r\n\r\n");
    if (end == std::string::npos) return 0;
    const size_t field = text.find("Content-Length: ");
    const size_t body = field < end ? std::strtoul(text.c_str() + field + 16, nullptr, 10) : 0;
    return text.size() >= end + 4 + body ? end + 4 + body : 0;
  }

  const Answer answer_;
  UniqueFd listener_;
  int port_ = 0;
  std::atomic<size_t> accepted_ = 0;
  std::vector<Connection> connections_;
  std::thread thread_;
};

std::string Ok(const std::string& body) {
  return absl::StrFormat("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", body.size(), body);
}

// What came of one Fetch; texts instead of an absl::Status, which ThreadSanitizer cannot follow
// from thread to thread.
struct Outcome {
  absl::StatusCode code = absl::StatusCode::kUnknown;  // unknown: not called
  std::string message;
  HttpResponse response;
};

// Fetches and waits, at most 5 s each.
class Fetches {
 public:
  explicit Fetches(HttpClient& client) : client_(client) {}
  ~Fetches() { EXPECT_TRUE(WaitForAll()); }

  size_t Add(HttpRequest request) {
    size_t index = 0;
    {
      base::MutexLock lock(mutex_);
      index = outcomes_.size();
      outcomes_.emplace_back();
    }
    client_.Fetch(std::move(request), [this, index](absl::StatusOr<HttpResponse> response) {
      base::MutexLock lock(mutex_);
      Outcome& outcome = outcomes_[index];
      outcome.code = response.status().code();
      outcome.message = std::string(base::ToStd(response.status().message()));
      if (response.ok()) outcome.response = *std::move(response);
      ++done_;
      changed_.SignalAll();
    });
    return index;
  }
  bool WaitForAll() {
    base::MutexLock lock(mutex_);
    while (done_ < outcomes_.size()) {
      if (changed_.WaitWithTimeout(mutex_, absl::Seconds(5))) return false;
    }
    return true;
  }
  Outcome At(size_t index) {
    base::MutexLock lock(mutex_);
    return outcomes_[index];
  }

 private:
  HttpClient& client_;
  base::Mutex mutex_;
  base::CondVar changed_;
  std::vector<Outcome> outcomes_ ABSL_GUARDED_BY(mutex_);
  size_t done_ ABSL_GUARDED_BY(mutex_) = 0;
};

Outcome FetchOne(HttpClient& client, HttpRequest request) {
  Fetches fetches(client);
  const size_t index = fetches.Add(std::move(request));
  EXPECT_TRUE(fetches.WaitForAll());
  return fetches.At(index);
}

class HttpClientTest : public testing::Test {
 protected:
  const std::unique_ptr<HttpClient> client_ = NewCurlHttpClient();
};

TEST_F(HttpClientTest, GetsStatusAndBody) {
  Server server([](const std::string& request) { return Ok(request); });
  const Outcome outcome = FetchOne(*client_, {.url = server.Url("/a?b=c")});
  EXPECT_EQ(outcome.code, absl::StatusCode::kOk);
  EXPECT_EQ(outcome.response.status, 200);
  EXPECT_THAT(outcome.response.body, StartsWith("GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:"));
}

// What probes over https rely on: the operator's CAs count beside the system's, and the certificate
// is held to the URL's host, wherever the connection leads.
TEST(HttpClientTls, TrustsTheOperatorsCasAndChecksTheUrlsHost) {
  FakeUpstream upstream([](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    peer.Write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
  });
  TlsFront front(upstream.port());
  const std::string address = absl::StrFormat("127.0.0.1:%d", front.port());
  const HttpRequest request = {
      .url = "https://job.test.example/x",
      .headers = {{"Authorization", "Bearer http-client-test-token"}},
      .connect_to = address,
  };
  const auto trusting = NewCurlHttpClient({.ca_file = TestCertificates::ca_file()});
  EXPECT_EQ(FetchOne(*trusting, request).response.body, "ok");
  EXPECT_EQ(front.counts().server_name, "job.test.example");
  EXPECT_THAT(upstream.received(), HasSubstr("\r\nHost: job.test.example\r\n"));
  EXPECT_THAT(upstream.received(),
              HasSubstr("\r\nAuthorization: Bearer http-client-test-token\r\n"));

  HttpRequest other = request;
  other.url = "https://other.example/x";
  EXPECT_EQ(FetchOne(*trusting, other).code, absl::StatusCode::kUnavailable);
  const auto strict = NewCurlHttpClient();
  const Outcome refused = FetchOne(*strict, request);
  EXPECT_EQ(refused.code, absl::StatusCode::kUnavailable);
  EXPECT_THAT(refused.message, HasSubstr("certificate"));
  EXPECT_THAT(refused.message, Not(HasSubstr("http-client-test-token")));
  const std::string received = upstream.received();
  EXPECT_EQ(received.find("GET"), received.rfind("GET")) << "only the first was sent";
}

TEST_F(HttpClientTest, SendsMethodHeadersAndBodyAsTheyAre) {
  Server server([](const std::string& request) { return Ok(request); });
  const std::string body(100000, 'x');
  for (const char* method : {"POST", "PUT", "DELETE"}) {
    const Outcome outcome = FetchOne(*client_, {.method = method,
                                                .url = server.Url(),
                                                .headers = {{"X-One", "1"}, {"X-Empty", ""}},
                                                .body = body});
    EXPECT_THAT(outcome.response.body, StartsWith(std::string(method) + " / HTTP/1.1\r\n"));
    EXPECT_THAT(outcome.response.body, HasSubstr("\r\nX-One: 1\r\n"));
    EXPECT_THAT(outcome.response.body, HasSubstr("\r\nX-Empty:\r\n"));
    EXPECT_THAT(outcome.response.body, HasSubstr("\r\n\r\n" + body));
    EXPECT_THAT(outcome.response.body, Not(HasSubstr("Expect")));
    EXPECT_THAT(outcome.response.body, Not(HasSubstr("Content-Type")));
  }
  const Outcome empty = FetchOne(*client_, {.method = "POST", .url = server.Url()});
  EXPECT_THAT(empty.response.body, HasSubstr("\r\nContent-Length: 0\r\n"));
}

TEST_F(HttpClientTest, ErrorsOfTheServerAreAnswersAndRedirectsAreNotFollowed) {
  Server server([](const std::string& request) -> std::string {
    if (request.find("/moved") != std::string::npos) {
      return "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n";
    }
    return "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nwait";
  });
  EXPECT_EQ(FetchOne(*client_, {.url = server.Url("/moved")}).response.status, 302);
  const Outcome outcome = FetchOne(*client_, {.url = server.Url()});
  EXPECT_EQ(outcome.response.status, 503);
  EXPECT_EQ(outcome.response.body, "wait");
}

TEST_F(HttpClientTest, OfATooLongBodyTheHeadIsGiven) {
  Server server([](const std::string&) {
    return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n";  // and no end
  });
  const Outcome outcome = FetchOne(*client_, {.url = server.Url(), .max_body_bytes = 4});
  EXPECT_EQ(outcome.code, absl::StatusCode::kOk);
  EXPECT_EQ(outcome.response.body, "1234");
}

TEST_F(HttpClientTest, ABodyOfExactlyTheLimitIsWhole) {
  Server server([](const std::string&) { return Ok("1234"); });
  EXPECT_EQ(FetchOne(*client_, {.url = server.Url(), .max_body_bytes = 4}).response.body, "1234");
  EXPECT_EQ(FetchOne(*client_, {.url = server.Url(), .max_body_bytes = 4}).response.body, "1234");
  EXPECT_EQ(server.connections(), 1U);
}

TEST_F(HttpClientTest, ConnectionsAreKept) {
  Server server([](const std::string&) { return Ok("x"); });
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(FetchOne(*client_, {.url = server.Url()}).response.status, 200);
  }
  EXPECT_EQ(server.connections(), 1U);
}

TEST_F(HttpClientTest, APostIsSentOnceAlsoWhenItsAnswerIsLost) {
  std::atomic<int> posts = 0;
  Server server([&posts](const std::string& request) -> std::optional<std::string> {
    if (request.starts_with("GET ")) return "HTTP/1.1 204 No\r\n\r\n";
    ++posts;
    return std::nullopt;
  });
  EXPECT_EQ(FetchOne(*client_, {.url = server.Url()}).response.status, 204) << "a kept connection";
  const Outcome lost = FetchOne(*client_, {.method = "POST", .url = server.Url(), .body = "{}"});
  EXPECT_EQ(lost.code, absl::StatusCode::kUnavailable) << lost.message;
  EXPECT_EQ(posts, 1);
}

TEST_F(HttpClientTest, FailuresSayWhatHappened) {
  std::string refused;
  {
    Server gone([](const std::string&) { return Ok(""); });
    refused = gone.Url();
  }
  Server server([](const std::string& request) -> std::optional<std::string> {
    if (request.find("/close") != std::string::npos) return std::nullopt;
    if (request.find("/short") != std::string::npos) {
      return "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n123";
    }
    if (request.find("/junk") != std::string::npos) return "SSH-2.0-x\r\nConnection: close\r\n";
    return "";
  });
  const auto code = [this](const HttpRequest& request) { return FetchOne(*client_, request).code; };
  const Outcome outcome = FetchOne(*client_, {.url = refused});
  EXPECT_EQ(outcome.code, absl::StatusCode::kUnavailable);
  EXPECT_THAT(outcome.message, StartsWith("GET " + refused + ": "));
  EXPECT_EQ(code({.url = server.Url("/close")}), absl::StatusCode::kUnavailable);
  EXPECT_EQ(code({.url = server.Url("/short")}), absl::StatusCode::kUnavailable);
  EXPECT_EQ(code({.url = server.Url("/junk")}), absl::StatusCode::kUnavailable);
  EXPECT_EQ(code({.url = server.Url(), .timeout = absl::Milliseconds(50)}),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(HttpClientTest, WhatCannotBeSentIsRefused) {
  const auto code = [this](const HttpRequest& request) { return FetchOne(*client_, request).code; };
  const std::string url = "http://127.0.0.1:1/";
  EXPECT_EQ(code({.url = ""}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.url = "file:///etc/passwd"}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.url = "http://a b/"}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.url = std::string("http://a\0/", 10)}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.method = "GET / HTTP/1.1\r\nX: ", .url = url}),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.url = url, .headers = {{"X", "a\r\nY: b"}}}),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.url = url, .headers = {{"X Y", "a"}}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.url = url, .timeout = absl::ZeroDuration()}),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(HttpClientTest, TheEnvironmentsProxiesAreNotUsed) {
  for (const char* name : {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}) {
    ASSERT_EQ(setenv(name, "http://127.0.0.1:1", 1), 0);
  }
  Server server([](const std::string& request) { return Ok(request); });
  const Outcome outcome = FetchOne(*client_, {.url = server.Url()});
  for (const char* name : {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"}) unsetenv(name);
  EXPECT_EQ(outcome.code, absl::StatusCode::kOk) << outcome.message;
}

TEST_F(HttpClientTest, ASlowServerHoldsUpNobodyElse) {
  Server slow([](const std::string&) { return ""; });
  Server fast([](const std::string&) { return Ok("x"); });
  Fetches slow_fetches(*client_);
  for (int i = 0; i < 64; ++i) {
    slow_fetches.Add({.url = slow.Url(), .timeout = absl::Seconds(1)});
  }
  EXPECT_EQ(FetchOne(*client_, {.url = fast.Url()}).response.status, 200);
  ASSERT_TRUE(slow_fetches.WaitForAll());
  EXPECT_EQ(slow_fetches.At(0).code, absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(slow_fetches.At(63).code, absl::StatusCode::kDeadlineExceeded);
}

TEST_F(HttpClientTest, ADoneMayFetchAgain) {
  Server server([](const std::string&) { return Ok("x"); });
  Fetches second(*client_);
  base::Mutex mutex;
  base::CondVar changed;
  bool asked = false;
  client_->Fetch({.url = server.Url()}, [&](const absl::StatusOr<HttpResponse>&) {
    second.Add({.url = server.Url()});
    base::MutexLock lock(mutex);
    asked = true;
    changed.SignalAll();
  });
  {
    base::MutexLock lock(mutex);
    while (!asked) ASSERT_FALSE(changed.WaitWithTimeout(mutex, absl::Seconds(5)));
  }
  ASSERT_TRUE(second.WaitForAll());
  EXPECT_EQ(second.At(0).response.status, 200);
}

TEST_F(HttpClientTest, ABodyIsGivenAsItComesAndEndsWhenItsTakerHasEnough) {
  Server server([](const std::string& request) {
    const bool found = request.starts_with("GET /log ");
    return absl::StrFormat("HTTP/1.1 %s\r\nContent-Length: 100\r\nConnection: close\r\n\r\n%s",
                           found ? "200 OK" : "404 Not Found", "first\n");  // never whole
  });
  std::string seen;
  const auto take = [&seen](std::string_view piece) {
    seen += piece;
    return false;
  };
  const Outcome cut = FetchOne(*client_, {.url = server.Url("/log"), .on_body = take});
  EXPECT_EQ(cut.code, absl::StatusCode::kOk) << cut.message;
  EXPECT_EQ(cut.response.status, 200);
  EXPECT_EQ(cut.response.body, "");
  EXPECT_EQ(seen, "first\n");
  const Outcome refused =
      FetchOne(*client_, {.url = server.Url("/other"), .max_body_bytes = 5, .on_body = take});
  EXPECT_EQ(refused.response.status, 404);
  EXPECT_EQ(refused.response.body, "first") << "an error's body is an answer";
}

TEST_F(HttpClientTest, RetryAfterIsGiven) {
  Server server([](const std::string&) {
    return "HTTP/1.1 429 Too Many\r\nretry-After:  7 \r\nContent-Length: 0\r\n\r\n";
  });
  const Outcome outcome = FetchOne(*client_, {.url = server.Url()});
  EXPECT_EQ(outcome.response.status, 429);
  EXPECT_EQ(outcome.response.retry_after, "7");
}

TEST_F(HttpClientTest, ACancelledRequestEndsAtOnceAndAlone) {
  base::CancelToken token;
  Server server([&token](const std::string& request) {
    if (request.starts_with("GET /hangs ")) token.Cancel();
    return request.starts_with("GET /hangs ") ? "" : "HTTP/1.1 204 No\r\n\r\n";
  });
  const Outcome outcome = FetchOne(*client_, {.url = server.Url("/hangs"), .cancel = &token});
  EXPECT_EQ(outcome.code, absl::StatusCode::kCancelled);
  EXPECT_THAT(outcome.message, HasSubstr("/hangs: cancelled"));
  EXPECT_EQ(FetchOne(*client_, {.url = server.Url("/next")}).response.status, 204);
}

TEST(HttpClientEndTest, DestroyingItCancelsWhatIsInFlightAndLeaksNothing) {
  const auto descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  static_cast<void>(NewCurlHttpClient());  // what libcurl opens once is open now
  const auto before = descriptors();
  auto server = std::make_unique<Server>([](const std::string&) { return ""; });
  auto client = NewCurlHttpClient();
  Fetches fetches(*client);
  for (int i = 0; i < 8; ++i) fetches.Add({.url = server->Url()});
  client.reset();
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(fetches.At(i).code, absl::StatusCode::kCancelled);
  server.reset();
  EXPECT_EQ(descriptors(), before);
}

}  // namespace
}  // namespace tao::io
