// Every kernel of this machine against the portable one, and the portable one against the
// definition.

#include "gateway/chat/string_kernels.h"

#include <gtest/gtest.h>

#include <random>

namespace tao::chat {
namespace {

constexpr size_t kLongest = 3 * kStringBlockBytes + 20;  // whole blocks and every kind of rest

class StringKernelsTest : public testing::TestWithParam<const StringKernels*> {
 protected:
  void ExpectAsPortable(const char* at, const char* end) {
    const PlainRun want = PortableStringKernels().plain_run(at, end);
    const PlainRun got = GetParam()->plain_run(at, end);
    ASSERT_EQ(got.stop - at, want.stop - at) << end - at << " bytes";
    ASSERT_EQ(got.ascii, want.ascii) << end - at << " bytes, stop at " << want.stop - at;
  }
};

TEST_P(StringKernelsTest, ClassifiesEveryByteValue) {
  for (int value = 0; value < 256; ++value) {
    const bool stop = value < 0x20 || value == '"' || value == '\\';
    for (int place = 0; place < kStringBlockBytes; ++place) {
      std::vector<char> block(kStringBlockBytes, 'a');
      block[static_cast<size_t>(place)] = static_cast<char>(value);
      const BlockMasks masks = GetParam()->block(block.data());
      ASSERT_EQ(masks.stops, stop ? uint64_t{1} << place : 0) << value << " at " << place;
      ASSERT_EQ(masks.non_ascii, value >= 0x80 ? uint64_t{1} << place : 0) << value;
    }
  }
}

TEST_P(StringKernelsTest, FindsAStopAtEveryPlaceOfEveryLengthAndAlignment) {
  const char stops[] = {'"', '\\', '\0', '\x1f'};
  for (size_t alignment = 0; alignment < kStringBlockBytes; ++alignment) {
    for (size_t length = 0; length <= kLongest; ++length) {
      // Of exactly that size, so that ASan sees a read beyond it.
      std::vector<char> text(alignment + length, 'z');
      std::fill_n(text.begin(), alignment, '\xff');  // what lies before the text does not count
      const char* const at = text.data() + alignment;
      const char* const end = at + length;
      const PlainRun whole = GetParam()->plain_run(at, end);
      ASSERT_EQ(whole.stop, end) << length << " bytes at " << alignment;
      ASSERT_TRUE(whole.ascii) << length << " bytes at " << alignment;
      for (size_t place = alignment % 7; place < length; place += 7) {
        const char stop = stops[(place + length) % sizeof(stops)];
        text[alignment + place] = stop;
        const PlainRun run = GetParam()->plain_run(at, end);
        ASSERT_EQ(run.stop, at + place) << length << " bytes at " << alignment;
        ASSERT_TRUE(run.ascii) << length << " bytes at " << alignment;
        text[alignment + place] = 'z';
      }
    }
  }
}

// Only the bytes before the stop count, in whichever part of the loop they and it stand.
TEST_P(StringKernelsTest, SeesWhetherTheTextBeforeTheStopIsAscii) {
  std::vector<char> text(kLongest, 'z');
  const char* const at = text.data();
  for (size_t stop = 0; stop < kLongest; ++stop) {
    text[stop] = '"';
    for (size_t place = 0; place < kLongest; ++place) {
      if (place == stop) continue;
      text[place] = '\x80';
      const PlainRun run = GetParam()->plain_run(at, at + kLongest);
      ASSERT_EQ(run.stop, at + stop);
      ASSERT_EQ(run.ascii, place > stop) << "stop at " << stop << ", 0x80 at " << place;
      text[place] = 'z';
    }
    text[stop] = 'z';
  }
}

TEST_P(StringKernelsTest, AgreesWithThePortableOneOnRandomBytes) {
  std::mt19937 random(4);  // the seed is fixed: a failure repeats
  for (int round = 0; round < 20000; ++round) {
    // From rarely to nearly always a stop or a byte beyond ASCII.
    const unsigned plain = 1u << random() % 8;
    std::vector<char> text(random() % (2 * kLongest));
    for (char& byte : text) {
      byte = static_cast<char>(random() % plain == 0 ? random() : 'a' + random() % 26);
    }
    const char* const end = text.data() + text.size();
    ExpectAsPortable(text.data(), end);
    for (const char* at = text.data(); end - at >= kStringBlockBytes; at += 13) {
      const BlockMasks want = PortableStringKernels().block(at);
      const BlockMasks got = GetParam()->block(at);
      ASSERT_EQ(got.stops, want.stops);
      ASSERT_EQ(got.non_ascii, want.non_ascii);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Machine, StringKernelsTest, testing::ValuesIn(AvailableStringKernels()),
                         [](const auto& test) { return std::string(test.param->name); });

TEST(BestStringKernelsTest, AreTheVectorOnesWhereThereAreAny) {
#if defined(__x86_64__)
  EXPECT_EQ(BestStringKernels().name, __builtin_cpu_supports("avx2") ? "avx2" : "sse2");
#elif defined(__aarch64__)
  EXPECT_EQ(BestStringKernels().name, "neon");
#else
  EXPECT_EQ(BestStringKernels().name, "portable");
#endif
}

}  // namespace
}  // namespace tao::chat
