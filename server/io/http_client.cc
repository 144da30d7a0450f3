#include "server/io/http_client.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_format.h>
#include <curl/curl.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>

#include "server/base/mutex.h"
#include "server/base/secret.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tao::io {
namespace {

constexpr long kKeptConnections = 256;  // twice what the prober may have under way, and some

constexpr const char* kSystemCaFolder = "/etc/ssl/certs";

struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

// A request on its way, with all that curl keeps pointers to. Client thread only.
struct Transfer {
  HttpRequest request;
  HttpClient::Done done;
  std::unique_ptr<CURL, FreeEasy> easy;
  std::unique_ptr<curl_slist, FreeList> headers, connect_to;
  HttpResponse response;
  bool cut = false;  // max_body_bytes or on_body's end: curl's write error is none
  char error[CURL_ERROR_SIZE] = "";

  // For error texts: "GET http://...".
  std::string Name() const {
    return absl::StrFormat("%s %s", request.method, base::Redact(request.url.substr(0, 300)));
  }
};

size_t OnHeader(char* data, size_t, size_t size, void* user) {
  constexpr std::string_view kRetryAfter = "retry-after:";
  auto& response = static_cast<Transfer*>(user)->response;
  const std::string_view line(data, size);
  if (base::AsciiLower(line.substr(0, kRetryAfter.size())) == kRetryAfter) {
    response.retry_after =
        std::string(absl::StripAsciiWhitespace(base::ToAbsl(line.substr(kRetryAfter.size()))));
  }
  return size;
}

size_t OnBody(char* data, size_t, size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (transfer.request.on_body) {
    long status = 0;
    curl_easy_getinfo(transfer.easy.get(), CURLINFO_RESPONSE_CODE, &status);
    if (status / 100 == 2) {
      transfer.cut = !transfer.request.on_body(std::string_view(data, size));
      return transfer.cut ? 0 : size;
    }
  }
  std::string& body = transfer.response.body;
  const size_t room = transfer.request.max_body_bytes - body.size();
  body.append(data, std::min(size, room));
  transfer.cut = size > room;
  return transfer.cut ? 0 : size;  // fewer than `size` ends the transfer
}

bool IsToken(std::string_view text) {  // RFC 9110, section 5.6.2
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

// What curl would send as it is: a line end in a value would be a header of its own.
absl::Status CheckRequest(const HttpRequest& request) {
  if (!IsToken(request.method)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s is no HTTP method", base::Quoted(request.method)));
  }
  const bool is_http = request.url.starts_with("http://") || request.url.starts_with("https://");
  if (!is_http || request.url.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s is no http:// or https:// URL", base::Quoted(request.url)));
  }
  if (request.timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("the time-out of an HTTP request must be above zero");
  }
  for (const auto& [name, value] : request.headers) {
    if (!IsToken(name) || value.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrFormat("header %s cannot be sent: its name is no token, or its value holds a "
                          "line end or NUL",
                          base::Quoted(name)));
    }
  }
  return absl::OkStatus();
}

// The one out-of-memory answer of this project: the process ends.
void Require(bool done) {
  if (!done) std::abort();
}

template <typename Value>
void Set(CURL* easy, CURLoption option, Value value) {
  // Only out of memory, or an option this libcurl does not know, which is a build against the wrong
  // one.
  Require(curl_easy_setopt(easy, option, value) == CURLE_OK);
}

void AddLine(std::unique_ptr<curl_slist, FreeList>& list, const std::string& line) {
  curl_slist* const longer = curl_slist_append(list.get(), line.c_str());
  Require(longer != nullptr);
  static_cast<void>(list.release());
  list.reset(longer);
}

void AddHeader(Transfer& transfer, const std::string& line) { AddLine(transfer.headers, line); }

void Prepare(Transfer& transfer, const HttpClientOptions& options) {
  transfer.easy.reset(curl_easy_init());
  CURL* const easy = transfer.easy.get();
  Require(easy != nullptr);
  const HttpRequest& request = transfer.request;
  Set(easy, CURLOPT_PRIVATE, &transfer);
  Set(easy, CURLOPT_ERRORBUFFER, transfer.error);
  Set(easy, CURLOPT_URL, request.url.c_str());
  Set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  Set(easy, CURLOPT_NOSIGNAL, 1L);
  Set(easy, CURLOPT_FOLLOWLOCATION, 0L);
  Set(easy, CURLOPT_PROXY, "");  // also hides http_proxy and its kin
  Set(easy, CURLOPT_NOPROXY, "*");
  Set(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!options.ca_file.empty()) {
    // In the place of the system's bundle, whose CAs its folder holds one by one as well.
    Set(easy, CURLOPT_CAINFO, options.ca_file.c_str());
    Set(easy, CURLOPT_CAPATH, kSystemCaFolder);
  }
  if (!request.connect_to.empty()) {
    AddLine(transfer.connect_to, "::" + request.connect_to);  // whatever the URL's host and port
    Set(easy, CURLOPT_CONNECT_TO, transfer.connect_to.get());
  }
  Set(easy, CURLOPT_USERAGENT, "tao-inference-server");
  const absl::Duration timeout = std::min(request.timeout, absl::Hours(24));
  const auto milliseconds =
      static_cast<long>(absl::ToInt64Milliseconds(absl::Ceil(timeout, absl::Milliseconds(1))));
  Set(easy, CURLOPT_TIMEOUT_MS, milliseconds);
  Set(easy, CURLOPT_CONNECTTIMEOUT_MS, milliseconds);  // its default, 5 min, is another limit
  Set(easy, CURLOPT_WRITEFUNCTION, &OnBody);
  Set(easy, CURLOPT_WRITEDATA, &transfer);
  Set(easy, CURLOPT_HEADERFUNCTION, &OnHeader);
  Set(easy, CURLOPT_HEADERDATA, &transfer);

  if (!request.body.empty() || request.method == "POST") {
    Set(easy, CURLOPT_POST, 1L);
    Set(easy, CURLOPT_POSTFIELDS, request.body.data());
    Set(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    // curl would name a form, and wait a second for "100 Continue" before larger bodies.
    AddHeader(transfer, "Content-Type:");
    AddHeader(transfer, "Expect:");
  }
  // On a kept connection that turns out to be dead, curl sends a request once more, and cannot know
  // whether the first one was done (RFC 9110, section 9.2.2: what may be repeated).
  if (request.method == "POST" || request.method == "PATCH") Set(easy, CURLOPT_FRESH_CONNECT, 1L);
  if (request.method == "HEAD") Set(easy, CURLOPT_NOBODY, 1L);
  Set(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  for (const auto& [name, value] : request.headers) {
    // "Name;" is curl's way to say a header without a value.
    AddHeader(transfer, value.empty() ? name + ";" : absl::StrFormat("%s: %s", name, value));
  }
  Set(easy, CURLOPT_HTTPHEADER, transfer.headers.get());
}

absl::Status ToStatus(CURLcode code, const Transfer& transfer) {
  const std::string text =
      absl::StrFormat("%s: %s", transfer.Name(),
                      transfer.error[0] != '\0' ? transfer.error : curl_easy_strerror(code));
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return absl::DeadlineExceededError(text);
    case CURLE_URL_MALFORMAT:
      return absl::InvalidArgumentError(text);
    default:
      return absl::UnavailableError(text);
  }
}

class CurlHttpClient final : public HttpClient {
 public:
  explicit CurlHttpClient(HttpClientOptions options)
      : options_(std::move(options)), multi_(NewMulti()), thread_([this] { Serve(); }) {}

  ~CurlHttpClient() override {
    {
      base::MutexLock lock(mutex_);
      stopping_ = true;
    }
    curl_multi_wakeup(multi_);
    thread_.join();
    curl_multi_cleanup(multi_);
  }

  void Fetch(HttpRequest request, Done done) override {
    auto transfer = std::make_unique<Transfer>();
    transfer->request = std::move(request);
    transfer->done = std::move(done);
    {
      base::MutexLock lock(mutex_);
      queue_.push_back(std::move(transfer));
    }
    curl_multi_wakeup(multi_);  // the one call that curl allows from any thread
  }

 private:
  static CURLM* NewMulti() {
    static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
    Require(initialised == CURLE_OK);
    CURLM* const multi = curl_multi_init();
    Require(multi != nullptr);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, kKeptConnections);
    return multi;
  }

  void Serve() {
    // With NOSIGNAL curl leaves SIGPIPE alone, and OpenSSL writes without MSG_NOSIGNAL.
    sigset_t pipe_only;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, nullptr);

    while (TakeQueue()) {
      int running = 0;
      curl_multi_perform(multi_, &running);
      while (FinishOne()) {
      }
      Wait();
      FinishCancelled();
    }
    while (!transfers_.empty()) {
      const std::unique_ptr<Transfer> transfer = Take(transfers_.begin()->first);
      transfer->done(absl::CancelledError(transfer->Name() + ": this process is ending"));
      static_cast<void>(TakeQueue());  // what a Done asked for just now
    }
  }

  // Starts what was asked for; false when the client is being destroyed.
  bool TakeQueue() {
    std::deque<std::unique_ptr<Transfer>> fresh;
    bool stopping = false;
    {
      base::MutexLock lock(mutex_);
      fresh.swap(queue_);
      stopping = stopping_;
    }
    for (std::unique_ptr<Transfer>& transfer : fresh) Start(std::move(transfer));
    return !stopping;
  }

  void Start(std::unique_ptr<Transfer> transfer) {
    const absl::Status valid = CheckRequest(transfer->request);
    if (!valid.ok()) return transfer->done(valid);
    Prepare(*transfer, options_);
    CURL* const easy = transfer->easy.get();
    Require(curl_multi_add_handle(multi_, easy) == CURLM_OK);
    transfers_.emplace(easy, std::move(transfer));
  }

  std::unique_ptr<Transfer> Take(CURL* easy) {
    curl_multi_remove_handle(multi_, easy);
    return std::move(transfers_.extract(easy).mapped());
  }

  // Until curl has something to do, Fetch was called, or a request's token fired.
  void Wait() {
    std::vector<curl_waitfd> tokens;
    for (const auto& [easy, transfer] : transfers_) {
      if (transfer->request.cancel == nullptr) continue;
      tokens.push_back(
          {.fd = transfer->request.cancel->fd(), .events = CURL_WAIT_POLLIN, .revents = 0});
    }
    curl_multi_poll(multi_, tokens.data(), static_cast<unsigned>(tokens.size()),
                    /*timeout_ms=*/60'000, nullptr);
  }

  void FinishCancelled() {
    std::vector<CURL*> cancelled;
    for (const auto& [easy, transfer] : transfers_) {
      const base::CancelToken* const token = transfer->request.cancel;
      if (token != nullptr && token->cancelled()) cancelled.push_back(easy);
    }
    for (CURL* const easy : cancelled) {
      const std::unique_ptr<Transfer> transfer = Take(easy);
      transfer->done(absl::CancelledError(transfer->Name() + ": cancelled"));
    }
  }

  // Answers one request that curl is done with; false when there is none.
  bool FinishOne() {
    int left = 0;
    const CURLMsg* const message = curl_multi_info_read(multi_, &left);
    if (message == nullptr) return false;
    if (message->msg != CURLMSG_DONE) return true;
    const CURLcode code = message->data.result;  // `message` is gone after the removal
    const std::unique_ptr<Transfer> transfer = Take(message->easy_handle);
    if (code != CURLE_OK && !transfer->cut) {
      transfer->done(ToStatus(code, *transfer));
      return true;
    }
    long status = 0;
    curl_easy_getinfo(transfer->easy.get(), CURLINFO_RESPONSE_CODE, &status);
    transfer->response.status = static_cast<int>(status);
    transfer->done(std::move(transfer->response));
    return true;
  }

  const HttpClientOptions options_;
  CURLM* const multi_;
  base::Mutex mutex_;
  std::deque<std::unique_ptr<Transfer>> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::unordered_map<CURL*, std::unique_ptr<Transfer>> transfers_;  // client thread only
  std::thread thread_;  // the last member: it uses the others
};

}  // namespace

std::unique_ptr<HttpClient> NewCurlHttpClient(HttpClientOptions options) {
  return std::make_unique<CurlHttpClient>(std::move(options));
}

}  // namespace tao::io
