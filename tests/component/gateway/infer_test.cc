// The door for the API.

#include <gtest/gtest.h>

#include <thread>

#include "server/base/errors.h"
#include "server/base/strings.h"
#include "tests/component/gateway/gateway_harness.h"
#include "tests/fakes/tls_front.h"

namespace tao::gateway {
namespace {

// Keeps what it hears. Statuses are taken apart on the worker's thread: their memory must not pass
// between threads under ThreadSanitizer (base/mutex.h).
class Receiver : public InferReceiver {
 public:
  void OnHead(InferHead head) override {
    base::MutexLock lock(mutex_);
    head_ = std::move(head);
  }
  void OnData(std::string piece) override {
    {
      base::MutexLock lock(mutex_);
      data_ += piece;
      ++pieces_;
      largest_ = std::max(largest_, piece.size());
    }
    got_data.Set();
    if (InferStream* const stream = stream_) stream->ReadyForMore();
  }
  void OnEnd(absl::Status status) override {
    {
      base::MutexLock lock(mutex_);
      code_ = status.code();
      message_ = std::string(base::ToStd(status.message()));
      type_ = base::DetailsOf(status).type;
      const std::optional<base::ErrorToken> token = base::TokenOf(status);
      token_ = token.has_value() ? std::string(base::RuleOf(*token).name) : "";
    }
    ended.Set();
  }

  // Before the call: takes pieces as fast as they come.
  Event got_data;
  Event ended;
  std::atomic<InferStream*> stream_ = nullptr;

  InferHead head() const { return Get(head_); }
  std::string data() const { return Get(data_); }
  int pieces() const { return Get(pieces_); }
  size_t largest() const { return Get(largest_); }
  absl::StatusCode code() const { return Get(code_); }
  std::string message() const { return Get(message_); }
  std::string type() const { return Get(type_); }
  std::string token() const { return Get(token_); }

 private:
  template <typename T>
  T Get(const T& member) const {
    base::MutexLock lock(mutex_);
    return member;
  }

  mutable base::Mutex mutex_;
  InferHead head_;
  std::string data_;
  int pieces_ = 0;
  size_t largest_ = 0;
  absl::StatusCode code_ = absl::StatusCode::kOk;
  std::string message_, type_, token_;
};

routing::Selector ByJob(std::string_view job_id) {
  return {{{routing::SelectorTerm::Kind::kJobId, std::string(job_id), "selector.job_id"}}};
}

TEST(Infer, SpeaksTlsAndCarriesTheBackendsCredential) {
  FakeUpstream upstream(Answers(FlaskAnswer(kCompletion)));
  TlsFront front(upstream.port());
  routing::Service service = ServiceAt(front.port());
  service.backend.scheme = "https";
  service.backend.credential = base::Secret("Bearer infer-test-token");
  GatewayConfig config = GatewayHarness::Config();
  config.upstream.ca_file = TestCertificates::ca_file();
  GatewayHarness harness({service}, config);
  const auto receiver = std::make_shared<Receiver>();
  harness.gateway->PostInfer({{}, Body(kArch)}, receiver);
  ASSERT_TRUE(receiver->ended.Wait());
  EXPECT_EQ(receiver->code(), absl::StatusCode::kOk) << receiver->message();
  EXPECT_NE(upstream.received().find("\r\nAuthorization: Bearer infer-test-token\r\n"),
            std::string::npos);
  EXPECT_EQ(front.counts().full_handshakes, 1);
}

TEST(Infer, GoesTheWayOfAnHttpRequest) {
  FakeUpstream upstream(Answers(FlaskAnswer(kCompletion)));
  GatewayHarness harness({ServiceAt(upstream.port())});
  const auto receiver = std::make_shared<Receiver>();
  const std::string body = Body(kArch);
  harness.gateway->PostInfer({{}, body}, receiver);
  ASSERT_TRUE(receiver->ended.Wait());
  EXPECT_EQ(receiver->code(), absl::StatusCode::kOk) << receiver->message();
  EXPECT_EQ(receiver->data(), kCompletion);
  EXPECT_EQ(receiver->head().content_type, "application/json");
  EXPECT_EQ(receiver->head().job_id, kJob);
  EXPECT_EQ(receiver->head().network_arch, kArch);
  const std::string got = upstream.received();
  EXPECT_EQ(got.find("POST /v1/chat/completions HTTP/1.1\r\n"), 0U);
  EXPECT_NE(got.find("X-Request-ID: " + receiver->head().request_id + "\r\n"), std::string::npos);
  EXPECT_EQ(got.substr(got.size() - body.size()), body);
}

TEST(Infer, AnswerIsNotTranslated) {
  FakeUpstream upstream(Answers(FlaskAnswer(kCompletion)));
  GatewayHarness harness({ServiceAt(upstream.port())});
  const auto receiver = std::make_shared<Receiver>();
  harness.gateway->PostInfer({{}, Body(kArch, R"(,"stream":true)")}, receiver);
  ASSERT_TRUE(receiver->ended.Wait());
  EXPECT_EQ(receiver->data(), kCompletion);
}

struct InferErrorCase {
  std::string name;
  std::string selector;
  std::string body;
  std::string answer;
  absl::StatusCode code;
  std::string token;
  std::string type;
};
class InferErrorTest : public testing::TestWithParam<InferErrorCase> {};

TEST_P(InferErrorTest, BecomesAStatus) {
  FakeUpstream upstream(Answers(GetParam().answer));
  GatewayHarness harness({ServiceAt(upstream.port())});
  const auto receiver = std::make_shared<Receiver>();
  InferCall call;
  if (!GetParam().selector.empty()) call.selector = ByJob(GetParam().selector);
  call.body = GetParam().body;
  harness.gateway->PostInfer(std::move(call), receiver);
  ASSERT_TRUE(receiver->ended.Wait());
  EXPECT_EQ(receiver->code(), GetParam().code) << receiver->message();
  EXPECT_EQ(receiver->token(), GetParam().token);
  EXPECT_EQ(receiver->type(), GetParam().type);
  EXPECT_EQ(receiver->pieces(), 0);
  EXPECT_EQ(receiver->head().job_id, "");
}

std::string Error(const std::string& status, const std::string& type) {
  return FlaskAnswer(R"({"error":{"message":"the container says","type":")" + type + R"("}})",
                     status);
}

INSTANTIATE_TEST_SUITE_P(
    Errors, InferErrorTest,
    testing::ValuesIn<InferErrorCase>({
        {"UnknownService", "nobody", "{}", "", absl::StatusCode::kNotFound, "service_not_found",
         ""},
        {"UnknownModel", "", Body("x"), "", absl::StatusCode::kNotFound, "model_not_found", ""},
        {"NotJson", "", "[1]", "", absl::StatusCode::kInvalidArgument, "bad_request", ""},
        {"NoAnswer", "", "{}", "", absl::StatusCode::kUnavailable, "upstream_reset", ""},
        {"Loading", "", "{}", Error("202 ACCEPTED", "model_loading"),
         absl::StatusCode::kUnavailable, "model_not_ready", "model_loading"},
        {"NotReady", "", "{}", Error("503 X", "model_not_ready"), absl::StatusCode::kUnavailable,
         "model_not_ready", "model_not_ready"},
        {"LoadFailed", "", "{}", Error("503 X", "model_load_error"),
         absl::StatusCode::kFailedPrecondition, "service_failed", "model_load_error"},
        {"Refused", "", "{}", Error("400 X", "invalid_request"), absl::StatusCode::kInvalidArgument,
         "bad_request", "invalid_request"},
        {"Broken", "", "{}", Error("500 X", "internal_error"), absl::StatusCode::kInternal, "",
         "internal_error"},
        {"TooMany", "", "{}", Error("429 X", "rate"), absl::StatusCode::kResourceExhausted, "",
         "rate"},
    }),
    [](const auto& row) { return row.param.name; });

TEST(Infer, LargeAnswerComesInPiecesAsFastAsTheyAreTaken) {
  const std::string large(20 << 20, 'v');
  FakeUpstream upstream(Answers(FlaskAnswer(large)));
  GatewayHarness harness({ServiceAt(upstream.port())});
  const auto receiver = std::make_shared<Receiver>();
  const auto stream = harness.gateway->PostInfer({{}, "{}"}, receiver);
  ASSERT_TRUE(receiver->got_data.Wait());
  harness.Publish({});  // the worker has gone round its loop: a second piece would have come
  EXPECT_EQ(receiver->pieces(), 1) << "no further piece before ReadyForMore";
  receiver->stream_ = stream.get();
  stream->ReadyForMore();
  ASSERT_TRUE(receiver->ended.Wait());
  EXPECT_EQ(receiver->code(), absl::StatusCode::kOk) << receiver->message();
  EXPECT_EQ(receiver->data(), large);
  EXPECT_LE(receiver->largest(), kMaxInferPieceBytes);
}

TEST(Infer, CancellationClosesTheUpstream) {
  Event asked;
  Event closed;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    asked.Set();
    if (peer.WaitForEnd()) closed.Set();
  });
  GatewayHarness harness({ServiceAt(upstream.port())});
  const auto receiver = std::make_shared<Receiver>();
  const auto stream = harness.gateway->PostInfer({{}, "{}"}, receiver);
  ASSERT_TRUE(asked.Wait());
  stream->Cancel();
  EXPECT_TRUE(closed.Wait());
  ASSERT_TRUE(receiver->ended.Wait());
  EXPECT_EQ(receiver->code(), absl::StatusCode::kCancelled);
  stream->Cancel();
  stream->ReadyForMore();
}

TEST(Infer, CancellationReachesAReceiverThatTakesNothing) {
  FakeUpstream upstream(Answers(FlaskAnswer(std::string(10 << 20, 'v'))));
  GatewayHarness harness({ServiceAt(upstream.port())});
  const auto receiver = std::make_shared<Receiver>();
  const auto stream = harness.gateway->PostInfer({{}, "{}"}, receiver);
  ASSERT_TRUE(receiver->got_data.Wait());
  stream->Cancel();
  ASSERT_TRUE(receiver->ended.Wait());
  EXPECT_EQ(receiver->code(), absl::StatusCode::kCancelled);
}

TEST(Infer, DeadlineClosesTheUpstream) {
  Event closed;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    if (peer.WaitForEnd()) closed.Set();
  });
  GatewayHarness harness({ServiceAt(upstream.port())});
  const auto receiver = std::make_shared<Receiver>();
  harness.gateway->PostInfer({.selector = {}, .body = "{}", .time_left = absl::Milliseconds(100)},
                             receiver);
  EXPECT_TRUE(closed.Wait());
  ASSERT_TRUE(receiver->ended.Wait());
  EXPECT_EQ(receiver->code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(Infer, EndOfTheGatewayEndsCalls) {
  Event asked;
  FakeUpstream upstream([&](FakeUpstream::Peer& peer) {
    peer.ReadRequest();
    asked.Set();
    peer.WaitForEnd();
  });
  GatewayHarness harness({ServiceAt(upstream.port())});
  const auto running = std::make_shared<Receiver>();
  harness.gateway->PostInfer({{}, "{}"}, running);
  ASSERT_TRUE(asked.Wait());
  harness.gateway->Drain(absl::ZeroDuration());
  ASSERT_TRUE(running->ended.Wait());
  EXPECT_EQ(running->token(), "gateway_shutdown");

  const auto late = std::make_shared<Receiver>();
  harness.gateway->PostInfer({{}, "{}"}, late);
  ASSERT_TRUE(late->ended.Wait());
  EXPECT_EQ(late->token(), "gateway_shutdown");
}

}  // namespace
}  // namespace tao::gateway
