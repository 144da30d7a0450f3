// The scanner against nlohmann/json on generated documents and mutations of them: the same verdict,
// the same values. TAO_TEST_SEED repeats a run; the seed of each is printed.

#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>

#include "gateway/chat/routing_keys.h"
#include "tests/unit/gateway/chat/event_trace.h"
#include "tests/unit/gateway/chat/json_oracle.h"

namespace tao::chat {
namespace {

using nlohmann::json;

uint32_t Seed() {
  const char* const given = std::getenv("TAO_TEST_SEED");
  const uint32_t seed = given != nullptr ? static_cast<uint32_t>(std::strtoul(given, nullptr, 10))
                                         : std::random_device{}();
  std::printf("TAO_TEST_SEED=%u\n", seed);
  return seed;
}

class Generator {
 public:
  explicit Generator(uint32_t seed) : random_(seed) {}

  int Below(int limit) { return std::uniform_int_distribution<int>(0, limit - 1)(random_); }
  bool OneIn(int n) { return Below(n) == 0; }

  std::string Document() {
    out_.clear();
    Space();
    Object(0);
    Space();
    return out_;
  }

  // One to three small changes, most of which break the document.
  std::string Mutated(std::string body) {
    static const std::string kBytes =
        "{}[]:,\"\\/ \n\tutfn0123456789eE+-.xd8cD\x01\x1f\x7f\x80\xbf\xc0"
        "\xc3\xe2\xed\xa0\xf0\xf4\xff";
    for (int left = 1 + Below(3); left > 0; --left) {
      const auto at = static_cast<size_t>(Below(static_cast<int>(body.size()) + 1));
      const char byte = kBytes[static_cast<size_t>(Below(static_cast<int>(kBytes.size())))];
      switch (Below(4)) {
        case 0:
          body.insert(at, 1, byte);
          break;
        case 1:
          if (at < body.size()) body[at] = byte;
          break;
        case 2:
          body.erase(at, static_cast<size_t>(1 + Below(3)));
          break;
        default:
          body.insert(at, body.substr(static_cast<size_t>(Below(static_cast<int>(at) + 1)),
                                      static_cast<size_t>(Below(8))));
          break;
      }
    }
    return body;
  }

  const StringKernels& Kernels() {
    const std::vector<const StringKernels*> all = AvailableStringKernels();
    return *all[static_cast<size_t>(Below(static_cast<int>(all.size())))];
  }

  std::vector<size_t> Cuts(size_t size) {
    const int longest = OneIn(2) ? 40 : 400;
    std::vector<size_t> cuts;
    for (size_t at = 0; at < size; at += static_cast<size_t>(1 + Below(1 + Below(longest)))) {
      cuts.push_back(at);
    }
    return cuts;
  }

 private:
  void Space() {
    while (OneIn(4)) out_ += " \t\r\n"[Below(4)];
  }

  void Item(int depth) {
    Space();
    switch (Below(depth > 6 ? 5 : 8)) {
      case 0:
        Number();
        break;
      case 1:
        out_ += OneIn(2) ? "true" : "false";
        break;
      case 2:
        out_ += "null";
        break;
      case 3:
      case 4:
        String(400);
        break;
      case 5:
      case 6:
        Object(depth + 1);
        break;
      default:
        Array(depth + 1);
        break;
    }
    Space();
  }

  void Object(int depth) {
    out_ += '{';
    Space();
    for (int i = 0, size = Below(5); i < size; ++i) {
      if (i > 0) out_ += ',';
      Space();
      if (OneIn(3)) {
        static constexpr const char* kNames[] = {"model",       "stream",         "messages",
                                                 "mod\\u0065l", "stream_options", "include_usage"};
        out_ += '"' + std::string(kNames[Below(6)]) + '"';
      } else {
        String(50);
      }
      Space();
      out_ += ':';
      Item(depth);
    }
    out_ += '}';
  }

  void Array(int depth) {
    out_ += '[';
    Space();
    for (int i = 0, size = Below(5); i < size; ++i) {
      if (i > 0) out_ += ',';
      Item(depth);
    }
    out_ += ']';
  }

  void Number() {
    if (OneIn(2)) out_ += '-';
    if (OneIn(4)) {
      out_ += '0';
    } else {
      out_ += static_cast<char>('1' + Below(9));
      for (int i = Below(22); i > 0; --i) out_ += static_cast<char>('0' + Below(10));
    }
    if (OneIn(2)) {
      out_ += '.';
      for (int i = 1 + Below(6); i > 0; --i) out_ += static_cast<char>('0' + Below(10));
    }
    if (OneIn(3)) {
      out_ += OneIn(2) ? 'e' : 'E';
      if (OneIn(2)) out_ += OneIn(2) ? '+' : '-';
      for (int i = 1 + Below(2); i > 0; --i) out_ += static_cast<char>('0' + Below(10));
    }
  }

  void String(int longest) {
    out_ += '"';
    for (int i = Below(OneIn(8) ? longest : 10); i > 0; --i) {
      Character();
      if (OneIn(100)) out_.append(static_cast<size_t>(Below(longest)), 'A');
    }
    out_ += '"';
  }

  void Character() {
    static constexpr const char* kEscapes[] = {"\\\"", "\\\\", "\\/", "\\b",
                                               "\\f",  "\\n",  "\\r", "\\t"};
    static constexpr const char* kCharacters[] = {
        "\xc2\x80",         "é",   "€", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf", "😀",
        "\xf4\x8f\xbf\xbf", "\x7f"};
    switch (Below(8)) {
      case 0:
        out_ += kEscapes[Below(8)];
        break;
      case 1:
        out_ += kCharacters[Below(9)];
        break;
      case 2:
        Escape(OneIn(2) ? Below(0xd800) : 0xe000 + Below(0x2000));
        break;
      case 3:
        Escape(0xd800 + Below(0x400));
        Escape(0xdc00 + Below(0x400));
        break;
      default:
        out_ += "abcXYZ019 +/=_-:,{}[]"[Below(21)];
        break;
    }
  }

  void Escape(int unit) {
    char text[8];
    std::snprintf(text, sizeof(text), OneIn(2) ? "\\u%04x" : "\\u%04X",
                  static_cast<unsigned>(unit));
    out_ += text;
  }

  std::mt19937 random_;
  std::string out_;
};

// Fails the test, with the document, where we and nlohmann differ. True if both call it valid.
bool Compare(const std::string& body, Generator& random) {
  const OracleVerdict oracle = AskOracle(body);
  if (oracle.number_overflow) return false;
  const bool valid = oracle.valid;
  const ScannerVerdict ours = AskScanner(body, {});
  const ScannerVerdict split = AskScanner(body, random.Cuts(body.size()), random.Kernels());
  EXPECT_EQ(ours.valid, valid) << base::Quoted(body, body.size());
  if (valid) {
    EXPECT_EQ(ours.events, oracle.events) << base::Quoted(body, body.size());
  }
  EXPECT_EQ(split.valid, ours.valid) << base::Quoted(body, body.size());
  EXPECT_EQ(split.events, ours.events) << base::Quoted(body, body.size());
  return valid;
}

TEST(BodyDifferentialTest, AgreesWithNlohmannOnValidDocuments) {
  Generator random(Seed());
  for (int i = 0; i < 5000; ++i) {
    const std::string body = random.Document();
    ASSERT_TRUE(Compare(body, random)) << "generated invalid: " << base::Quoted(body, body.size());
    if (testing::Test::HasFailure()) return;
  }
}

TEST(BodyDifferentialTest, AgreesWithNlohmannOnMutatedDocuments) {
  Generator random(Seed());
  int valid = 0;
  for (int i = 0; i < 20000; ++i) {
    valid += Compare(random.Mutated(random.Document()), random) ? 1 : 0;
    if (testing::Test::HasFailure()) return;
  }
  std::printf("%d of 20000 mutations stayed valid\n", valid);
  EXPECT_GT(valid, 100);
  EXPECT_LT(valid, 19900);
}

// Copied between two quotes, a raw string must mean what the decoded one says.
TEST(BodyDifferentialTest, RawStringsDecodeToTheDecodedOnes) {
  Generator random(Seed());
  for (int i = 0; i < 3000; ++i) {
    const std::string body = random.Document();
    const std::vector<size_t> cuts = random.Cuts(body.size());
    std::string raw, decoded;
    for (const std::string& piece : ScanInPieces(body, cuts, StringForm::kRaw).pieces) raw += piece;
    for (const std::string& piece : ScanInPieces(body, cuts).pieces) decoded += piece;
    const json parsed = json::parse("\"" + raw + "\"", nullptr, /*allow_exceptions=*/false);
    ASSERT_TRUE(parsed.is_string()) << base::Quoted(body, body.size());
    ASSERT_EQ(parsed.get<std::string>(), decoded) << base::Quoted(body, body.size());
  }
}

// Whatever we route by must be what the backend will read: nlohmann, as Python, takes the last.
TEST(BodyDifferentialTest, RoutingKeysAreTheBackends) {
  Generator random(Seed());
  int routed = 0, refused = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::string body = random.Document();
    RoutingKeys keys;
    BodyScanner scanner(keys);
    absl::Status status = scanner.Feed(body);
    if (status.ok()) status = scanner.Finish();
    const json parsed = json::parse(body);
    if (!status.ok()) {
      ++refused;
      continue;
    }
    const bool has_model = parsed.contains("model");
    ASSERT_EQ(keys.model().has_value(), has_model) << body;
    if (has_model) {
      ASSERT_EQ(*keys.model(), parsed["model"].get<std::string>()) << body;
    }
    ASSERT_EQ(keys.stream(), parsed.contains("stream") && parsed["stream"] == true) << body;
    const bool usage = parsed.contains("stream_options") && parsed["stream_options"].is_object() &&
                       parsed["stream_options"].contains("include_usage") &&
                       parsed["stream_options"]["include_usage"] == true;
    ASSERT_EQ(keys.include_usage(), usage) << body;
    routed += has_model ? 1 : 0;
  }
  std::printf("%d with a model, %d refused\n", routed, refused);
  EXPECT_GT(routed, 100);
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace tao::chat
