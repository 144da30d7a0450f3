// The body scanner on arbitrary bytes: it says the same however they are split and with every
// kernel, it says what nlohmann/json says, and the routing keys are what a backend will read. The
// first two bytes of the input seed the split.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "gateway/chat/routing_keys.h"
#include "tests/unit/gateway/chat/json_oracle.h"

namespace {

using nlohmann::json;
using namespace tao::chat;

void Require(bool held, const char* what) {
  if (held) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

// Pieces of 0 to a few bytes, or of up to a few hundred.
std::vector<size_t> RandomCuts(size_t size, std::minstd_rand& random) {
  const size_t longest = size_t{1} << random() % 10;
  std::vector<size_t> cuts;
  for (size_t at = random() % (longest + 1); at < size; at += random() % (longest + 1)) {
    if (cuts.size() > 2 * size) break;
    cuts.push_back(at);
  }
  return cuts;
}

// Copied between two quotes, a raw string means what the decoded one says.
void CheckRawForm(const std::string& body, const std::vector<size_t>& cuts) {
  std::string raw, decoded;
  for (const std::string& piece : ScanInPieces(body, cuts, StringForm::kRaw).pieces) raw += piece;
  for (const std::string& piece : ScanInPieces(body, cuts).pieces) decoded += piece;
  const json parsed = json::parse("\"" + raw + "\"", nullptr, /*allow_exceptions=*/false);
  Require(parsed.is_string() && parsed.get_ref<const std::string&>() == decoded,
          "the raw form means something else than the decoded one");
}

// nlohmann, as Python, takes the last of two members: a body with two never gets here.
void CheckRoutingKeys(const std::string& body, const std::vector<size_t>& cuts, bool valid) {
  RoutingKeys keys;
  BodyScanner scanner(keys);
  absl::Status status;
  size_t from = 0;
  for (size_t i = 0; i <= cuts.size() && status.ok(); ++i) {
    const size_t to = i < cuts.size() ? cuts[i] : body.size();
    status = scanner.Feed(std::string_view(body).substr(from, to - from));
    from = to;
  }
  if (!status.ok() || !scanner.Finish().ok()) return;
  Require(valid, "the verdict depends on the sink");
  const json parsed = json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) return;  // a number that no double holds
  Require(keys.model().has_value() == parsed.contains("model"), "model was overlooked or invented");
  Require(!keys.model().has_value() || parsed["model"] == *keys.model(), "model is another one");
  Require(keys.stream() == (parsed.contains("stream") && parsed["stream"] == true),
          "stream is not the backend's");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  std::minstd_rand random(static_cast<uint32_t>(data[0]) << 8 | data[1]);
  const std::string body(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::vector<size_t> cuts = RandomCuts(body.size(), random);
  static const std::vector<const StringKernels*> kAllKernels = AvailableStringKernels();

  const ScannerVerdict whole = AskScanner(body, {});
  const ScannerVerdict split = AskScanner(body, cuts, *kAllKernels[random() % kAllKernels.size()]);
  Require(split.valid == whole.valid, "the verdict depends on the split");
  Require(split.events == whole.events, "the events depend on the split");
  const OracleVerdict oracle = AskOracle(body);
  if (!oracle.number_overflow) {
    Require(whole.valid == oracle.valid, "the verdict is not nlohmann's");
    Require(!whole.valid || whole.events == oracle.events, "the events are not nlohmann's");
  }
  CheckRoutingKeys(body, cuts, whole.valid);
  if (whole.valid) CheckRawForm(body, cuts);
  return 0;
}
