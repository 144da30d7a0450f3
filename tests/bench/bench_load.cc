// The load generator: one thread, one epoll loop. Sends one kind of load, and prints what came of
// it as a line of JSON. Any answer that is not what was asked for ends it with an error.
//
//   bench-load --port=N --mode=requests [--rate=R]   requests over keep-alive connections: the next
//                                                    one when the answer is there, or R a second,
//                                                    whose latency counts from when they were due
//   bench-load --port=N --mode=streams               a stream on each connection; figures by event
//   bench-load --port=N --mode=idle                  streams that stay silent after their first
//                                                    event; prints a line when all stand, and ends
//                                                    with its stdin
//
//   --connections --milliseconds --warmup-ms --body-bytes --by-header --query
//   --services=N [--first-service]   the requests name N services in turn: 00000000-0000-4000-8000-
//                                    and a number of 12 digits
//   --pid [--threads]                whose CPU time is counted: a process, or its threads whose
//   names
//                                    begin so

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

#include "tests/bench/cpu_time.h"
#include "tests/bench/load_client.h"
#include "tests/bench/net.h"

namespace tao::bench {
namespace {

constexpr int64_t kMillisecond = 1'000'000;

struct LoadOptions {
  int port = 0;
  std::string mode;
  size_t connections = 1;
  int64_t measured = 0;  // how long, in ns
  int64_t warmup = 0;    // before that
  int64_t rate = 0;      // a second; 0: closed loop
  int64_t pid = 0;
  std::string threads;
};

std::string ServiceName(int64_t number) {
  std::array<char, 40> name;
  std::snprintf(name.data(), name.size(), "00000000-0000-4000-8000-%012lld",
                static_cast<long long>(number));
  return name.data();
}

class Load : public LoadClient::Listener {
 public:
  Load(LoadOptions options, std::vector<std::string> requests)
      : options_(std::move(options)), requests_(std::move(requests)) {
    for (size_t i = 0; i < options_.connections; ++i) {
      clients_.push_back(std::make_unique<LoadClient>(epoll_, options_.port, *this));
    }
  }

  void Run() {
    if (options_.mode == "requests") {
      begin_ = Now() + options_.warmup;
      due_ = Now();
      for (const auto& client : clients_) Offer(*client);
    } else {
      for (const auto& client : clients_) client->Send(NextRequest(), Now());
      while (streaming_ < clients_.size()) Turn(-1);
      begin_ = Now() + options_.warmup;
      if (options_.mode == "idle") return WaitForStdin();
    }
    while (Now() < begin_) Turn(begin_);
    const int64_t cpu_before = CpuTime(options_.pid, options_.threads);
    const int64_t began = Now();
    counting_ = true;
    const int64_t end = began + options_.measured;
    while (Now() < end) Turn(end);
    while (latencies_.empty()) Turn(-1);  // a single long request
    counting_ = false;
    Print(Now() - began, CpuTime(options_.pid, options_.threads) - cpu_before);
  }

  void OnData(LoadClient& client, std::string_view data) override {
    if (options_.mode == "requests") {
      bytes_ += counting_ ? data.size() : 0;
    } else {
      ReadEvents(client, data);
    }
  }

  void OnAnswer(LoadClient& client) override {
    if (options_.mode != "requests") Die("a stream has ended");
    // In an open loop only what was due inside of the time counts.
    if (counting_ && client.since() >= (options_.rate > 0 ? begin_ : 0)) Note(client.since());
    Offer(client);
  }

 private:
  void Turn(int64_t until) {
    if (options_.mode == "requests" && options_.rate > 0) {
      OfferDue();
      until = std::min(until, due_);
    }
    epoll_.Wait(until,
                [](void* context, uint32_t) { static_cast<LoadClient*>(context)->OnReady(); });
  }

  // `client` is free.
  void Offer(LoadClient& client) {
    if (options_.rate == 0) return client.Send(NextRequest(), Now());
    if (waiting_.empty()) return free_.push_back(&client);
    const int64_t since = waiting_.front();
    waiting_.pop_front();
    client.Send(NextRequest(), since);
  }

  void OfferDue() {
    const int64_t now = Now();
    for (; due_ <= now; due_ += 1'000'000'000 / options_.rate) {
      if (free_.empty()) {
        waiting_.push_back(due_);
        continue;
      }
      LoadClient* const client = free_.front();
      free_.pop_front();
      client->Send(NextRequest(), due_);
    }
  }

  const std::string& NextRequest() { return requests_[next_++ % requests_.size()]; }

  // Takes the time out of each whole event.
  void ReadEvents(LoadClient& client, std::string_view data) {
    constexpr std::string_view kTime = "\"t\":";
    const bool first = client.carry.empty();
    if (first && !data.empty()) {
      ++streaming_;
      client.carry = " ";  // from now on it is never empty
    }
    client.carry.append(data);
    size_t end = 0;
    size_t from = 0;
    while ((end = client.carry.find("\n\n", from)) != std::string::npos) {
      const size_t time = client.carry.find(kTime, from);
      if (time < end && counting_) Note(std::atoll(client.carry.c_str() + time + kTime.size()));
      from = end + 2;
    }
    client.carry.erase(0, std::max<size_t>(from, 1) - 1);
  }

  void Note(int64_t since) { latencies_.push_back(static_cast<uint32_t>(Now() - since)); }

  void WaitForStdin() {
    std::printf("{\"open\": %zu}\n", clients_.size());
    std::fflush(stdout);
    char byte = 0;
    while (::read(STDIN_FILENO, &byte, 1) > 0) continue;
  }

  double Percentile(double share) const {
    if (latencies_.empty()) return 0;
    return latencies_[static_cast<size_t>(share * static_cast<double>(latencies_.size() - 1))] /
           1e3;
  }

  void Print(int64_t took, int64_t cpu) {
    std::sort(latencies_.begin(), latencies_.end());
    std::printf(
        "{\"count\": %zu, \"seconds\": %.6f, \"cpu_us\": %.3f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
        "\"answer_bytes\": %llu, \"late\": %zu}\n",
        latencies_.size(), static_cast<double>(took) / 1e9, static_cast<double>(cpu) / 1e3,
        Percentile(0.5), Percentile(0.99), static_cast<unsigned long long>(bytes_),
        waiting_.size());
  }

  const LoadOptions options_;
  const std::vector<std::string> requests_;
  Epoll epoll_;
  std::vector<std::unique_ptr<LoadClient>> clients_;
  std::deque<LoadClient*> free_;  // open loop: those without a request, longest unused first
  std::deque<int64_t> waiting_;   // open loop: requests that were due when no connection was free
  int64_t due_ = 0;               // open loop: when the next one is
  size_t next_ = 0;
  size_t streaming_ = 0;
  int64_t begin_ = 0;
  bool counting_ = false;
  uint64_t bytes_ = 0;
  std::vector<uint32_t> latencies_;  // ns
};

}  // namespace
}  // namespace tao::bench

int main(int argc, char** argv) {
  using namespace tao::bench;
  Flags flags(argc, argv);
  LoadOptions options;
  options.port = static_cast<int>(flags.Number("port", 0));
  options.mode = flags.Text("mode", "requests");
  options.connections = static_cast<size_t>(flags.Number("connections", 1));
  options.measured = flags.Number("milliseconds", 2000) * kMillisecond;
  options.warmup = flags.Number("warmup-ms", 300) * kMillisecond;
  options.rate = flags.Number("rate", 0);
  options.pid = flags.Number("pid", ::getpid());
  options.threads = flags.Text("threads", "");

  RequestOptions request;
  request.by_header = flags.Number("by-header", 0) != 0;
  request.query = flags.Text("query", "");
  request.body_bytes = static_cast<size_t>(flags.Number("body-bytes", 2048));
  const int64_t services = flags.Number("services", 1);
  const int64_t first = flags.Number("first-service", 0);
  flags.CheckAll();
  std::vector<std::string> requests;
  for (int64_t i = 0; i < services; ++i) {
    request.service = ServiceName(first + i);
    requests.push_back(MakeRequest(request));
  }
  Load(std::move(options), std::move(requests)).Run();
}
