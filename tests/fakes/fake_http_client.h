#pragma once

// An io::HttpClient without a network: answers by URL, on a thread of its own as the real one does.
// A URL without an answer refuses the connection. Thread-safe. Destroying it cancels what is held.

#include <absl/strings/str_cat.h>

#include <deque>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/base/mutex.h"
#include "server/io/http_client.h"

namespace tao::fakes {

class FakeHttpClient : public io::HttpClient {
 public:
  FakeHttpClient() : thread_([this] { Serve(); }) {}
  ~FakeHttpClient() override {
    {
      base::MutexLock lock(mutex_);
      stopping_ = true;
      changed_.SignalAll();
    }
    thread_.join();
  }

  // What GET/POST ... of exactly `url` is answered from now on.
  void SetAnswer(const std::string& url, int status, std::string body = "") {
    base::MutexLock lock(mutex_);
    answers_[url] = {.code = absl::StatusCode::kOk, .response = {.status = status, .body = body}};
  }
  // Unavailable: no connection, reset. DeadlineExceeded: it did not answer.
  void SetError(const std::string& url, absl::StatusCode code) {
    base::MutexLock lock(mutex_);
    answers_[url] = {.code = code, .response = {}};
  }
  // Requests to `url` stay in flight until Release, and are then answered as is set then.
  void Hold(const std::string& url) {
    base::MutexLock lock(mutex_);
    held_.insert(url);
  }
  void Release(const std::string& url) {
    base::MutexLock lock(mutex_);
    held_.erase(url);
    changed_.SignalAll();
  }

  // Every request so far, in the order they came, answered or not.
  std::vector<io::HttpRequest> requests() const {
    base::MutexLock lock(mutex_);
    return requests_;
  }
  int in_flight() const {
    base::MutexLock lock(mutex_);
    return static_cast<int>(waiting_.size()) + (answering_ ? 1 : 0);
  }
  // Until `count` requests have come in all and none but held ones is in flight; false after 5 s.
  [[nodiscard]] bool WaitForRequests(size_t count) const {
    base::MutexLock lock(mutex_);
    while (requests_.size() < count || answering_ || HasAnswerable()) {
      if (changed_.WaitWithTimeout(mutex_, absl::Seconds(5))) return false;
    }
    return true;
  }

  void Fetch(io::HttpRequest request, Done done) override {
    base::MutexLock lock(mutex_);
    requests_.push_back(request);
    waiting_.emplace_back(std::move(request.url), std::move(done));
    changed_.SignalAll();
  }

 private:
  // No absl::Status: ThreadSanitizer cannot follow one with a message between threads.
  struct Answer {
    absl::StatusCode code = absl::StatusCode::kUnavailable;
    io::HttpResponse response;
  };
  using Waiting = std::pair<std::string, Done>;  // url

  bool HasAnswerable() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (const Waiting& waiting : waiting_) {
      if (!held_.contains(waiting.first)) return true;
    }
    return false;
  }

  void Serve() {
    while (true) {
      Waiting next;
      Answer answer;
      {
        base::MutexLock lock(mutex_);
        while (!stopping_ && !HasAnswerable()) changed_.Wait(mutex_);
        if (waiting_.empty()) return;  // stopping
        auto chosen = waiting_.begin();
        while (!stopping_ && held_.contains(chosen->first)) ++chosen;
        next = std::move(*chosen);
        waiting_.erase(chosen);
        const auto found = answers_.find(next.first);
        if (found != answers_.end()) answer = found->second;
        if (stopping_) answer.code = absl::StatusCode::kCancelled;
        answering_ = true;
      }
      if (answer.code == absl::StatusCode::kOk) {
        next.second(std::move(answer.response));
      } else {
        next.second(absl::Status(answer.code, absl::StrCat("fake error for ", next.first)));
      }
      base::MutexLock lock(mutex_);
      answering_ = false;
      changed_.SignalAll();
    }
  }

  mutable base::Mutex mutex_;
  mutable base::CondVar changed_;
  std::map<std::string, Answer> answers_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> held_ ABSL_GUARDED_BY(mutex_);
  std::vector<io::HttpRequest> requests_ ABSL_GUARDED_BY(mutex_);
  std::deque<Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
  bool answering_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // the last member: it uses the others
};

}  // namespace tao::fakes
