#pragma once

// Asks the real Python what it prints, so that our printing is held to it and not to our reading of
// it.

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace tao::launch {

inline std::string ToHex(std::string_view text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

inline std::string FromHex(std::string_view hex) {
  std::string text;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    text += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return text;
}

// The results of the Python expression `expression` for each of `inputs` as `s`, from one child
// process. `d` is json.dumps with our separators and `q` is shlex.quote.
inline std::vector<std::string> AskPython(const std::string& expression,
                                          const std::vector<std::string>& inputs) {
  std::string folder = (std::filesystem::temp_directory_path() / "tao-python-XXXXXX");
  EXPECT_NE(::mkdtemp(folder.data()), nullptr);
  const std::filesystem::path script = std::filesystem::path(folder) / "oracle.py";
  const std::filesystem::path data = std::filesystem::path(folder) / "inputs";
  std::ofstream(script) << "import json, shlex, sys\n"
                           "d = lambda x: json.dumps(x, separators=(',', ':'))\n"
                           "q = shlex.quote\n"
                           "for line in open(sys.argv[1]):\n"
                           "    s = bytes.fromhex(line.strip()).decode('utf-8')\n"
                           "    print(("
                        << expression << ").encode('utf-8').hex())\n";
  {
    std::ofstream out(data);
    for (const std::string& input : inputs) out << ToHex(input) << '\n';
  }
  std::vector<std::string> results;
  const std::string command = "/usr/bin/python3 " + script.string() + " " + data.string();
  std::FILE* const child = ::popen(command.c_str(), "r");
  EXPECT_NE(child, nullptr);
  char* line = nullptr;
  size_t capacity = 0;
  for (ssize_t size; child != nullptr && (size = ::getline(&line, &capacity, child)) > 0;) {
    results.push_back(FromHex(std::string_view(line, static_cast<size_t>(size - 1))));
  }
  std::free(line);
  EXPECT_EQ(::pclose(child), 0);
  std::filesystem::remove_all(folder);
  EXPECT_EQ(results.size(), inputs.size());
  results.resize(inputs.size());
  return results;
}

// $TAO_TEST_SEED, or a new one; printed, so that a failure can be repeated.
inline uint32_t TestSeed() {
  const char* const given = std::getenv("TAO_TEST_SEED");
  const auto seed = given != nullptr ? static_cast<uint32_t>(std::strtoul(given, nullptr, 10))
                                     : std::random_device{}();
  std::printf("TAO_TEST_SEED=%u\n", seed);
  return seed;
}

// Texts that printing goes wrong with: quotes, controls, the edges of UTF-8's lengths, surrogate
// pairs, words that need no quoting at all, nothing.
class TextGenerator {
 public:
  explicit TextGenerator(uint32_t seed) : random_(seed) {}

  // Without NUL, as every text of a request.
  std::string Next() {
    std::string text;
    for (unsigned left = Below(4) == 0 ? Below(3) : Below(40); left > 0; --left) {
      AppendUtf8(NextCodePoint(), text);
    }
    return text;
  }
  uint32_t Below(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }
  uint64_t Bits() { return random_(); }

 private:
  char32_t NextCodePoint() {
    static constexpr char32_t kEdges[] = {0x01,   0x1f,   0x7f,   0x80,   0x7ff,   0x800,   0x2028,
                                          0xd7ff, 0xe000, 0xfffd, 0xffff, 0x10000, 0x10ffff};
    static constexpr std::string_view kQuotes = "'\"\\$`!*?~#&;|<>()[]{} \t\n\r\b\f";
    switch (Below(7)) {
      case 0:
        return static_cast<unsigned char>(kQuotes[Below(kQuotes.size())]);
      case 1:
        return kEdges[Below(std::size(kEdges))];
      case 2:
        return 1 + Below(0x1f);
      case 3:
        return 0x10000 + Below(0x100000);
      case 4: {
        const char32_t code_point = 0x80 + Below(0xff80);
        return code_point >= 0xd800 && code_point <= 0xdfff ? U'\u00e9' : code_point;
      }
      default:
        return 0x21 + Below(0x5e);
    }
  }
  static void AppendUtf8(char32_t c, std::string& out) {
    const auto put = [&out](char32_t byte) { out += static_cast<char>(byte); };
    if (c < 0x80) {
      put(c);
    } else if (c < 0x800) {
      put(0xc0 | c >> 6);
      put(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
      put(0xe0 | c >> 12);
      put(0x80 | (c >> 6 & 0x3f));
      put(0x80 | (c & 0x3f));
    } else {
      put(0xf0 | c >> 18);
      put(0x80 | (c >> 12 & 0x3f));
      put(0x80 | (c >> 6 & 0x3f));
      put(0x80 | (c & 0x3f));
    }
  }
  std::mt19937_64 random_;
};

}  // namespace tao::launch
