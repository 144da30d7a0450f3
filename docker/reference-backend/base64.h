#pragma once

// The alphabet of base64 (RFC 4648 4), without its padding.

#include <array>
#include <string_view>

namespace tao::reference_backend {

inline bool IsBase64Digit(char c) {
  static constexpr std::array<bool, 256> kDigits = [] {
    std::array<bool, 256> digits{};
    constexpr std::string_view kAlphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (const char digit : kAlphabet) digits[static_cast<unsigned char>(digit)] = true;
    return digits;
  }();
  return kDigits[static_cast<unsigned char>(c)];
}

}  // namespace tao::reference_backend
