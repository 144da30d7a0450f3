// Beast's parser as an oracle: it accepts much that we refuse, and what it refuses we must refuse.

#include "tests/unit/gateway/http/corpus.h"

#include "server/base/strings.h"

#include <gtest/gtest.h>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

#include <cstdlib>
#include <iostream>
#include <random>

namespace tao::http {
namespace {

using namespace std::string_literals;
namespace beast_http = boost::beast::http;

using boost::system::error_code;

// Beast's parsing and nothing of its containers, which allocate and throw.
class OracleParser : public beast_http::basic_parser<true> {
 private:
  using string_view = boost::beast::string_view;

  void on_request_impl(beast_http::verb, string_view, string_view, int, error_code&) override {}
  void on_response_impl(int, string_view, int, error_code&) override {}
  void on_field_impl(beast_http::field, string_view, string_view, error_code&) override {}
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<uint64_t>&, error_code&) override {}
  size_t on_body_impl(string_view body, error_code&) override { return body.size(); }
  void on_chunk_header_impl(uint64_t, string_view, error_code&) override {}
  size_t on_chunk_body_impl(uint64_t, string_view body, error_code&) override {
    return body.size();
  }
  void on_finish_impl(error_code&) override {}
};

// Why Beast refuses the first message of `bytes`; empty when it does not. The empty line that may
// stand before a request (RFC 9112 section 2.2) is not its concern.
std::string BeastRefusal(std::string_view bytes) {
  if (bytes.substr(0, 2) == "\r\n") bytes.remove_prefix(2);
  OracleParser parser;
  parser.header_limit(1 << 20);
  parser.body_limit(boost::none);
  parser.eager(true);
  error_code error;
  while (!bytes.empty() && !parser.is_done()) {
    const size_t consumed = parser.put(boost::asio::buffer(bytes.data(), bytes.size()), error);
    bytes.remove_prefix(consumed);
    if (error == beast_http::error::need_more) return {};
    if (error) return error.message();
    if (consumed == 0) return {};
  }
  return {};
}

bool WeAcceptTheFirst(const std::string& seen) {
  return !seen.empty() && (seen.front() < '0' || seen.front() > '9') && seen != "more";
}

// Where an RFC wants accepted what Beast does not take.
bool BeastIsStricterThanTheRfc(std::string_view bytes, const std::string& refusal) {
  if (refusal == "bad version") {  // HTTP/1.2 to 1.9 count as 1.1: RFC 9110 section 2.5
    const std::string_view line = bytes.substr(0, bytes.find("\r\n", 2));
    const size_t version = line.rfind(" HTTP/1.");
    return version != std::string_view::npos && line.substr(version + 8) > "1";
  }
  if (refusal == "bad Content-Length" || refusal == "bad Transfer-Encoding" ||
      refusal == "bad value") {
    // Beast reads trailers as header fields. Ours are dropped, whatever they say: RFC 9110 section
    // 6.5.1. So this counts only when it is about the head.
    return BeastRefusal(bytes.substr(0, bytes.find("\r\n\r\n") + 4)).empty();
  }
  return false;
}

// TAO_TEST_SEED repeats a run, or makes another one.
uint32_t Seed() {
  const char* const given = std::getenv("TAO_TEST_SEED");
  const uint32_t seed = given == nullptr ? 20260922 : std::strtoul(given, nullptr, 10);
  std::cout << "TAO_TEST_SEED=" << seed << "\n";
  return seed;
}

void ExpectNotMoreLenientThanBeast(std::string_view bytes) {
  const std::string refusal = BeastRefusal(bytes);
  if (refusal.empty() || BeastIsStricterThanTheRfc(bytes, refusal)) return;
  const std::string seen = ReadRequests(OnePiece(bytes));
  EXPECT_FALSE(WeAcceptTheFirst(seen)) << "Beast: " << refusal << "; we read " << seen;
}

TEST(BeastOracle, WhatItRefusesOfTheCorpusWeRefuse) {
  int refused = 0;
  for (const CorpusCase& each : RequestCorpus()) {
    SCOPED_TRACE(base::Quoted(each.name));
    ExpectNotMoreLenientThanBeast(each.bytes);
    refused += BeastRefusal(each.bytes).empty() ? 0 : 1;
  }
  EXPECT_GT(refused, 100);  // the oracle was asked
}

// One to four edits of a corpus case: a byte set, inserted, removed or doubled, mostly one that
// matters.
std::string Mutate(std::string bytes, std::mt19937& random) {
  static const std::string interesting = "\r\n\t :;,=\"\\/%0123456789abcxX_-?#\0\x01\x7f\x80\xff"s;
  const auto below = [&random](size_t n) { return static_cast<size_t>(random() % n); };
  const size_t edits = 1 + below(4);
  for (size_t i = 0; i < edits; ++i) {
    const size_t at = below(bytes.size() + 1);
    const char c =
        below(4) == 0 ? static_cast<char>(below(256)) : interesting[below(interesting.size())];
    switch (below(4)) {
      case 0:
        bytes.insert(at, 1, c);
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = c;
        break;
      case 2:
        if (bytes.size() > 1) bytes.erase(at, 1 + below(3));
        break;
      default:
        bytes.insert(at, bytes.substr(at, 1 + below(20)));
        break;
    }
  }
  return bytes;
}

TEST(BeastOracle, WhatItRefusesOfMutationsWeRefuseAndCutsDoNotMatter) {
  std::mt19937 random(Seed());
  std::vector<const CorpusCase*> small;
  for (const CorpusCase& each : RequestCorpus()) {
    if (each.bytes.size() < 600) small.push_back(&each);
  }
  int accepted = 0;
  for (int i = 0; i < 6000; ++i) {
    const CorpusCase& origin = *small[random() % small.size()];
    const std::string bytes = Mutate(origin.bytes, random);
    SCOPED_TRACE("mutation " + std::to_string(i) + " of " + base::Quoted(origin.name) + ": " +
                 base::Quoted(bytes, 700));
    ExpectNotMoreLenientThanBeast(bytes);

    std::string whole_body, body;
    const std::string whole = ReadRequests(OnePiece(bytes), &whole_body);
    accepted += WeAcceptTheFirst(whole) ? 1 : 0;
    std::vector<size_t> cuts;
    for (size_t at = random() % 9; at < bytes.size(); at += 1 + random() % 40) cuts.push_back(at);
    EXPECT_EQ(ReadRequests(CutAt(bytes, cuts), &body), whole);
    EXPECT_EQ(body, whole_body);
    EXPECT_EQ(ReadRequests(ByteByByte(bytes), &body), whole);
    EXPECT_EQ(body, whole_body);
    if (HasFailure()) return;  // one is enough to read
  }
  EXPECT_GT(accepted, 300);  // mutations reach both sides of the border
}

}  // namespace
}  // namespace tao::http
