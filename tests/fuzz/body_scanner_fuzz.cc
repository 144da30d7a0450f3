// The body scanner on arbitrary bytes: it says the same however they are split, and what
// nlohmann/json says. The first byte of the input chooses the split.

#include <cstdint>
#include <cstdlib>

#include "gateway/chat/routing_keys.h"
#include "tests/unit/gateway/chat/json_oracle.h"

namespace {

void Require(bool held, const char* what) {
  if (held) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tao::chat;
  if (size == 0) return 0;
  const std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::vector<size_t> cuts;
  for (size_t at = data[0] >> 4; at < body.size(); at += 1 + (data[0] & 15)) cuts.push_back(at);

  const ScannerVerdict whole = AskScanner(body, {});
  const ScannerVerdict split = AskScanner(body, cuts);
  Require(split.valid == whole.valid, "the verdict depends on the split");
  Require(split.events == whole.events, "the events depend on the split");
  const OracleVerdict oracle = AskOracle(body);
  if (!oracle.number_overflow) {
    Require(whole.valid == oracle.valid, "the verdict is not nlohmann's");
    Require(!whole.valid || whole.events == oracle.events, "the events are not nlohmann's");
  }

  RoutingKeys keys;
  BodyScanner scanner(keys);
  if (scanner.Feed(body).ok() && scanner.Finish().ok()) {
    Require(whole.valid, "the verdict depends on the sink");
    Require(!keys.model().has_value() || tao::base::IsValidUtf8(*keys.model()),
            "model is not UTF-8");
  }
  return 0;
}
