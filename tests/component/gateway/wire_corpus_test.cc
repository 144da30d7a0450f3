// The malformed requests of tests/unit/gateway/http/corpus.h against the listening gateway: one
// answer for each request that was meant, nothing after a refusal, and no backend that hears of a
// refused one; however the bytes are cut.

#include "tests/unit/gateway/http/corpus.h"

#include <gtest/gtest.h>

#include <functional>
#include <sstream>

#include "tests/component/gateway/gateway_harness.h"

namespace tao::gateway {
namespace {

using http::CorpusCase;
using Cut = std::function<std::vector<std::string_view>(std::string_view)>;

// What the gateway answers to a message that was read as `item`, in the words of CorpusCase::want;
// 0: nothing.
int WantedStatus(const std::string& item) {
  if (item == "more") return 0;
  std::istringstream words(item);
  std::string method;
  std::string path;
  uint64_t body_bytes = 0;
  words >> method >> path >> body_bytes;
  if (path.empty()) return std::stoi(item);
  if (method == "POST") return body_bytes == 27 ? 200 : (body_bytes == 0 ? 411 : 400);
  if (method == "OPTIONS") return 204;
  if (method == "DELETE" || method == "TRACE") return 405;
  return path == "/v1/models" ? 200 : 404;
}

std::vector<int> WantedStatuses(const CorpusCase& corpus_case) {
  // The head alone says that this one is too large.
  if (corpus_case.name == "C09_LargestLength") return {413};
  std::vector<int> statuses;
  std::istringstream items(corpus_case.want);
  for (std::string item; std::getline(items, item, ',');) {
    if (const int status = WantedStatus(item.substr(item.find_first_not_of(' '))); status != 0) {
      statuses.push_back(status);
    }
  }
  return statuses;
}

bool ReachesTheBackend(const CorpusCase& corpus_case) {
  return corpus_case.want.find("POST /v1/chat/completions 27") != std::string::npos;
}

class WireCorpusTest : public testing::Test {
 protected:
  WireCorpusTest()
      : upstream_([](FakeUpstream::Peer& peer) {
          while (peer.ReadRequest().whole) {
            if (!peer.Write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                            "Content-Length: 2\r\n\r\n{}")) {
              return;
            }
          }
        }),
        harness_({Served()}) {}

  routing::Service Served() const {
    routing::Service service = ServiceAt(upstream_.port());
    service.served_names = {"m"};
    return service;
  }

  void Check(const CorpusCase& corpus_case, const Cut& cut) {
    SCOPED_TRACE(corpus_case.name + " wants " + corpus_case.want);
    const size_t received_before = upstream_.received().size();
    RawSocket client = harness_.Connect();
    for (const std::string_view piece : cut(corpus_case.bytes)) {
      if (!client.Write(piece)) break;  // refused, and closed: what follows is not wanted
    }
    bool closed = false;
    for (const int want : WantedStatuses(corpus_case)) {
      const bool has_body = corpus_case.bytes.rfind("HEAD", 0) != 0;
      RawMessage answer = client.ReadMessage(has_body);
      // C64: right, if the body had not begun to arrive.
      if (answer.status() == 100) answer = client.ReadMessage();
      ASSERT_EQ(answer.status(), want) << answer.head << answer.body;
      EXPECT_TRUE(answer.whole);
      EXPECT_TRUE(answer.Field("X-Request-Id").has_value());
      EXPECT_TRUE(answer.Field("Date").has_value());
      closed = answer.Field("Connection") == "close";
      const bool out_of_step = want >= 400 && want != 404 && want != 405 &&
                               corpus_case.want.find(std::to_string(want)) != std::string::npos;
      EXPECT_TRUE(closed || !out_of_step) << answer.head;
    }
    if (!closed) client.ShutdownWrite();
    EXPECT_EQ(client.ReadToEnd(), "") << "more on the wire than the answers that were wanted";
    EXPECT_EQ(client.end(), RawSocket::End::kFin);
    if (!ReachesTheBackend(corpus_case)) {
      EXPECT_EQ(upstream_.received().size(), received_before);
    }
  }

  void CheckAll(const Cut& cut, size_t max_bytes) {
    int checked = 0;
    for (const CorpusCase& corpus_case : http::RequestCorpus()) {
      if (corpus_case.bytes.size() > max_bytes) continue;
      Check(corpus_case, cut);
      ++checked;
    }
    EXPECT_GT(checked, 500);
    EXPECT_EQ(upstream_.received().find("X-Smuggled"), std::string::npos);
  }

  FakeUpstream upstream_;
  GatewayHarness harness_;
};

TEST_F(WireCorpusTest, InOnePiece) { CheckAll(http::OnePiece, SIZE_MAX); }

// Long ones only repeat what short ones show, byte after byte.
TEST_F(WireCorpusTest, ByteByByte) { CheckAll(http::ByteByByte, 4096); }

TEST_F(WireCorpusTest, CutBetweenCrAndLf) { CheckAll(http::CutBetweenCrAndLf, SIZE_MAX); }

}  // namespace
}  // namespace tao::gateway
