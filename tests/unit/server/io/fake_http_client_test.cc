#include "tests/fakes/fake_http_client.h"

#include <gtest/gtest.h>

namespace tao::fakes {
namespace {

// What a Done was called with, as text; for the thread that calls it and the test's.
class Answers {
 public:
  io::HttpClient::Done Next() {
    return [this](absl::StatusOr<io::HttpResponse> response) {
      base::MutexLock lock(mutex_);
      texts_.push_back(response.ok() ? std::to_string(response->status) + " " + response->body
                                     : absl::StatusCodeToString(response.status().code()));
    };
  }
  std::vector<std::string> texts() {
    base::MutexLock lock(mutex_);
    return texts_;
  }

 private:
  base::Mutex mutex_;
  std::vector<std::string> texts_ ABSL_GUARDED_BY(mutex_);
};

using Texts = std::vector<std::string>;

TEST(FakeHttpClientTest, AnswersByUrlAndRefusesWhatItDoesNotKnow) {
  Answers answers;
  FakeHttpClient http;
  http.SetAnswer("http://a/", 503, "loading");
  http.SetError("http://b/", absl::StatusCode::kDeadlineExceeded);
  for (const char* url : {"http://a/", "http://b/", "http://c/"}) {
    http.Fetch({.url = url}, answers.Next());
  }
  ASSERT_TRUE(http.WaitForRequests(3));
  EXPECT_EQ(answers.texts(), Texts({"503 loading", "DEADLINE_EXCEEDED", "UNAVAILABLE"}));
  EXPECT_EQ(http.requests()[1].url, "http://b/");
}

TEST(FakeHttpClientTest, HeldRequestsWaitForReleaseOrTheEnd) {
  Answers answers;
  {
    FakeHttpClient http;
    http.SetAnswer("http://a/", 200);
    http.Hold("http://a/");
    http.Hold("http://b/");
    http.Fetch({.url = "http://a/"}, answers.Next());
    http.Fetch({.url = "http://b/"}, answers.Next());
    ASSERT_TRUE(http.WaitForRequests(2));
    EXPECT_EQ(http.in_flight(), 2);
    http.Release("http://a/");
    ASSERT_TRUE(http.WaitForRequests(2));
    EXPECT_EQ(answers.texts(), Texts({"200 "}));
  }
  EXPECT_EQ(answers.texts(), Texts({"200 ", "CANCELLED"}));
}

}  // namespace
}  // namespace tao::fakes
