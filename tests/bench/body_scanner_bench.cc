// What reading a request body costs, by what the body is made of: the scanner with a sink that
// takes every decoded piece, in reads of 64 KiB as from a socket; and for orientation two parsers
// that need the whole body in memory. docs/performance.md, "Body scanner", has the figures.

#include <benchmark/benchmark.h>
#include <simdjson.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/chat/body_scanner.h"
#include "gateway/chat/routing_keys.h"
#include "server/catalog/catalog.h"
#include "server/contract/body_check.h"

namespace tao::chat {
namespace {

// Looks at every piece, as the request contract will, and keeps nothing.
class ReadingSink : public base::BodySink {
 public:
  absl::Status OnObjectBegin() override { return Count(1); }
  absl::Status OnObjectEnd() override { return Count(1); }
  absl::Status OnArrayBegin() override { return Count(1); }
  absl::Status OnArrayEnd() override { return Count(1); }
  absl::Status OnKey(std::string_view key) override { return Count(key.size()); }
  absl::Status OnStringPiece(std::string_view piece, bool last) override {
    return Count(piece.size());
  }
  absl::Status OnNumber(std::string_view text) override { return Count(text.size()); }
  absl::Status OnBool(bool value) override { return Count(1); }
  absl::Status OnNull() override { return Count(1); }
  size_t bytes = 0;
  size_t events = 0;

 private:
  absl::Status Count(size_t size) {
    bytes += size;
    ++events;
    return absl::OkStatus();
  }
};

// The bodies; each a chat completion whose `content` is what its name says. Fixed seeds.

std::string Chat(std::string_view content) {
  return R"({"messages":[{"role":"user","content":")" + std::string(content) +
         R"("}],"temperature":0.7,"max_tokens":256,"stream":true,"model":"cosmos-rl"})";
}

// A video of 50 MB as the SDKs send it.
const std::string& Base64() {
  static const std::string body = [] {
    std::mt19937 random(1);
    std::string text = "data:video/mp4;base64,";
    text.reserve(50'000'000);
    while (text.size() < 50'000'000) {
      text += "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[random() & 63];
    }
    return R"({"messages":[{"role":"user","content":[{"type":"video_url","video_url":{"url":")" +
           text + R"("}}]}],"model":"cosmos-rl"})";
  }();
  return body;
}

// Program text and JSON inside a string: an escape every 4 to 20 bytes, at places nobody can
// predict.
const std::string& EscapedCode() {
  static const std::string body = [] {
    std::mt19937 random(2);
    std::string text;
    while (text.size() < 4'000'000) {
      for (unsigned i = 2 + random() % 17; i > 0; --i) {
        text += static_cast<char>('a' + random() % 26);
      }
      static constexpr const char* kEscapes[] = {"\\n", "\\\"", "\\\"", "\\t", "\\\\", "\\/"};
      text += kEscapes[random() % 6];
    }
    return Chat(text);
  }();
  return body;
}

// Python's json.dumps of Chinese text: nothing but \uXXXX.
const std::string& EscapedUnicode() {
  static const std::string body = [] {
    std::mt19937 random(3);
    std::string text;
    char escape[8];
    while (text.size() < 4'000'000) {
      std::snprintf(escape, sizeof(escape), "\\u%04x",
                    static_cast<unsigned>(0x4e00 + random() % 0x51a0));
      text += escape;
    }
    return Chat(text);
  }();
  return body;
}

// The worst there is for two-byte escapes: one after the other.
const std::string& EscapedLineBreaks() {
  static const std::string body = [] {
    std::string text;
    while (text.size() < 4'000'000) text += "\\n\\\"";
    return Chat(text);
  }();
  return body;
}

const std::string& Chinese() {
  static const std::string body = [] {
    std::mt19937 random(4);
    std::string text;
    while (text.size() < 4'000'000) {
      const unsigned code = 0x4e00 + random() % 0x51a0;
      text += static_cast<char>(0xe0 | code >> 12);
      text += static_cast<char>(0x80 | (code >> 6 & 0x3f));
      text += static_cast<char>(0x80 | (code & 0x3f));
      if (random() % 60 == 0) text += "\\n";
    }
    return Chat(text);
  }();
  return body;
}

// Prose without a single escape: at the speed of memory, so that whatever looks at it shows.
const std::string& PlainProse() {
  static const std::string body = [] {
    std::mt19937 random(8);
    std::string text;
    while (text.size() < 4'000'000) {
      for (unsigned i = 1 + random() % 9; i > 0; --i) {
        text += static_cast<char>('a' + random() % 26);
      }
      text += ' ';
    }
    return Chat(text);
  }();
  return body;
}

// The usual request: 2 KB of prose, a line break a line.
const std::string& SmallChat() {
  static const std::string body = [] {
    std::mt19937 random(5);
    std::string text;
    while (text.size() < 1'800) {
      for (unsigned i = 1 + random() % 9; i > 0; --i) {
        text += static_cast<char>('a' + random() % 26);
      }
      text += random() % 12 == 0 ? "\\n" : " ";
    }
    return R"({"messages":[{"role":"system","content":"You are a helpful assistant."},)"
           R"({"role":"user","content":")" +
           text +
           R"("}],"temperature":0.7,"top_p":0.95,"max_tokens":256,"stream":true,"model":"cosmos-rl"})";
  }();
  return body;
}

// Tool definitions and embeddings: names, numbers and brackets, indented as Python does it.
const std::string& Structure() {
  static const std::string body = [] {
    std::mt19937 random(6);
    nlohmann::json items = nlohmann::json::array();
    for (int i = 0; i < 8000; ++i) {
      items.push_back({{"index", i},
                       {"name", "item-" + std::to_string(random() % 1000)},
                       {"score", static_cast<double>(random()) / 4294967296.0},
                       {"enabled", i % 3 == 0},
                       {"parent", nullptr},
                       {"box", {random() % 1920, random() % 1080, 64, 48}}});
    }
    return nlohmann::json{{"model", "cosmos-rl"}, {"messages", items}}.dump(2);
  }();
  return body;
}

void Scan(benchmark::State& state, const std::string& body, size_t step,
          const StringKernels& kernels = BestStringKernels()) {
  size_t events = 0;
  for (auto _ : state) {
    ReadingSink sink;
    BodyScanner scanner(sink, {.kernels = &kernels});
    for (size_t at = 0; at < body.size(); at += step) {
      if (!scanner.Feed(std::string_view(body).substr(at, step)).ok()) state.SkipWithError("bad");
    }
    if (!scanner.Finish().ok()) state.SkipWithError("bad");
    benchmark::DoNotOptimize(sink.bytes);
    events = sink.events;
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * body.size()));
  state.counters["events"] = static_cast<double>(events);
}

void Scanner(benchmark::State& state, const std::string& (*body)()) {
  Scan(state, body(), 64 * 1024);
}

// What a machine without the best kernels has; they are numbered as AvailableStringKernels() is.
void ScannerWithKernels(benchmark::State& state, const std::string& (*body)()) {
  const std::vector<const StringKernels*> all = AvailableStringKernels();
  const auto chosen = static_cast<size_t>(state.range(0));
  if (chosen >= all.size()) {
    state.SkipWithError("this machine has fewer kernels");
    return;
  }
  state.SetLabel(std::string(all[chosen]->name));
  Scan(state, body(), 64 * 1024, *all[chosen]);
}

// Byte by byte, bodies of 8 KiB to 4 MiB: the cost must grow as they do (BigO says N).
void ScannerByteByByteGrowth(benchmark::State& state) {
  std::string text;
  while (text.size() < static_cast<size_t>(state.range(0))) text += "text \\u00e9\\n \xe4\xb8\x96 ";
  Scan(state, Chat(text), 1);
  state.SetComplexityN(state.range(0));
}

void ScannerByteByByte(benchmark::State& state, const std::string& (*body)()) {
  Scan(state, body(), 1);
}

// What a request costs besides: the routing keys instead of an idle sink.
void ScannerRoutingKeys(benchmark::State& state, const std::string& (*body)()) {
  for (auto _ : state) {
    RoutingKeys keys;
    BodyScanner scanner(keys);
    if (!scanner.Feed(body()).ok() || !scanner.Finish().ok()) state.SkipWithError("bad");
    benchmark::DoNotOptimize(keys.model().has_value());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * body().size()));
}

// The request contract and the search for secrets as sink: to be compared with Scanner, whose sink
// only looks at each piece. `arch` empty: the body's `model` would have to tell, so that it is
// judged for all.
void ScannerContract(benchmark::State& state, const std::string& (*body)(), std::string_view arch) {
  static const auto catalog = catalog::Catalog::Load(std::string(TAO_SOURCE_DIR) + "/references");
  static const auto contracts = contract::Contracts::Build((*catalog)->request());
  // As long as those of Hugging Face, NGC and Weights & Biases.
  static const auto secrets = contract::SecretAutomaton::Build(
      {"hf_QmVuY2htYXJrT25seU5vdEFTZWNyZXRBdEFsbA",
       "bmdjLWtleS1vZi1hLWJlbmNobWFyay1ub3RoaW5nLWlzLXNlY3JldC1oZXJlLTAxMjM0NTY3ODlhYmNkZWY=",
       "0123456789abcdef0123456789abcdef01234567"});
  for (auto _ : state) {
    contract::BodyCheck check(contracts.get(), secrets.get());
    if (!arch.empty()) check.Decide(arch);
    BodyScanner scanner(check);
    const std::string_view text = body();
    for (size_t at = 0; at < text.size(); at += 64 * 1024) {
      if (!scanner.Feed(text.substr(at, 64 * 1024)).ok()) state.SkipWithError("bad");
    }
    if (!scanner.Finish().ok()) state.SkipWithError("bad");
    if (arch.empty()) check.Decide("tao-dataservices");
    benchmark::DoNotOptimize(check.Verdict(false));
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * body().size()));
}

// simdjson's on-demand parser: the index of the whole body, then one member of it, its strings
// neither decoded nor checked.
void SimdjsonOndemand(benchmark::State& state, const std::string& (*body)()) {
  const simdjson::padded_string padded(body());
  simdjson::ondemand::parser parser;
  for (auto _ : state) {
    auto document = parser.iterate(padded);
    std::string_view model;
    if (document["model"].get_string().get(model) != simdjson::SUCCESS) state.SkipWithError("bad");
    benchmark::DoNotOptimize(model);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * body().size()));
}

// simdjson's DOM: every string decoded, as the scanner does.
void SimdjsonDom(benchmark::State& state, const std::string& (*body)()) {
  const simdjson::padded_string padded(body());
  simdjson::dom::parser parser;
  for (auto _ : state) {
    simdjson::dom::element document;
    if (parser.parse(padded).get(document) != simdjson::SUCCESS) state.SkipWithError("bad");
    benchmark::DoNotOptimize(document);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * body().size()));
}

void NlohmannAccept(benchmark::State& state, const std::string& (*body)()) {
  for (auto _ : state) {
    if (!nlohmann::json::accept(body())) state.SkipWithError("bad");
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * body().size()));
}

#define TAO_BENCH_BODY(function, body) BENCHMARK_CAPTURE(function, body, body)
#define TAO_BENCH_CONTRACT(body)                                      \
  BENCHMARK_CAPTURE(ScannerContract, body, body, "tao-dataservices"); \
  BENCHMARK_CAPTURE(ScannerContract, body##_ArchUnknown, body, "")
#define TAO_BENCH_EVERY_BODY(function)         \
  TAO_BENCH_BODY(function, Base64);            \
  TAO_BENCH_BODY(function, PlainProse);        \
  TAO_BENCH_BODY(function, EscapedCode);       \
  TAO_BENCH_BODY(function, EscapedUnicode);    \
  TAO_BENCH_BODY(function, EscapedLineBreaks); \
  TAO_BENCH_BODY(function, Chinese);           \
  TAO_BENCH_BODY(function, SmallChat);         \
  TAO_BENCH_BODY(function, Structure)

TAO_BENCH_EVERY_BODY(Scanner);
TAO_BENCH_CONTRACT(Base64);
TAO_BENCH_CONTRACT(PlainProse);
TAO_BENCH_CONTRACT(EscapedCode);
TAO_BENCH_CONTRACT(EscapedUnicode);
TAO_BENCH_CONTRACT(EscapedLineBreaks);
TAO_BENCH_CONTRACT(Chinese);
TAO_BENCH_CONTRACT(SmallChat);
TAO_BENCH_CONTRACT(Structure);
TAO_BENCH_BODY(ScannerRoutingKeys, SmallChat);
TAO_BENCH_BODY(ScannerByteByByte, SmallChat);
TAO_BENCH_BODY(ScannerByteByByte, EscapedCode);
TAO_BENCH_BODY(ScannerByteByByte, Chinese);
TAO_BENCH_BODY(ScannerByteByByte, Base64);
BENCHMARK(ScannerByteByByteGrowth)
    ->RangeMultiplier(8)
    ->Range(8 << 10, 4 << 20)
    ->Complexity(benchmark::oN);
TAO_BENCH_BODY(ScannerWithKernels, Base64)->DenseRange(0, 1);
TAO_BENCH_BODY(ScannerWithKernels, EscapedCode)->DenseRange(0, 1);
TAO_BENCH_EVERY_BODY(SimdjsonOndemand);
TAO_BENCH_EVERY_BODY(SimdjsonDom);
TAO_BENCH_EVERY_BODY(NlohmannAccept);

}  // namespace
}  // namespace tao::chat
