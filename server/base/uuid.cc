#include "server/base/uuid.h"

#include <absl/strings/str_format.h>
#include <sys/random.h>

#include <cstdint>
#include <cstdlib>

namespace tao::base {

std::string NewUuid() {
  uint8_t b[16];
  // 16 bytes are never short once the pool is seeded (getrandom(2)); without randomness we must die.
  if (getrandom(b, sizeof(b), 0) != sizeof(b)) std::abort();
  b[6] = (b[6] & 0x0f) | 0x40;
  b[8] = (b[8] & 0x3f) | 0x80;
  return absl::StrFormat("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
                         b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
                         b[13], b[14], b[15]);
}

bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (c != '-') return false;
    } else if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
      return false;
    }
  }
  return text[14] == '4' && (text[19] == '8' || text[19] == '9' || text[19] == 'a' || text[19] == 'b');
}

}  // namespace tao::base
