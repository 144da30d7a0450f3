// Our JSON and shell quoting against Python's own, byte for byte.

#include <bit>
#include <cmath>

#include "server/base/shell_quote.h"
#include "server/launch/python_json.h"
#include "tests/unit/server/launch/python_oracle.h"

namespace tao::launch {
namespace {

constexpr size_t kInputs = 10'000;

TEST(PythonPrintingTest, TextsPrintAsPythonPrintsThem) {
  TextGenerator generator(TestSeed());
  std::vector<std::string> inputs = {"", "'", "word", "a b", "\x7f", "\xf0\x9f\x98\x80"};
  while (inputs.size() < kInputs) inputs.push_back(generator.Next());
  const std::vector<std::string> wanted =
      AskPython("d({'k': s, s: {'inner': s}}) + '\\n' + q(s) + '\\n' + q(d(s))", inputs);
  for (size_t i = 0; i < inputs.size(); ++i) {
    PythonJsonObject inner, object;
    inner.Add("inner", inputs[i]);
    object.Add("k", inputs[i]);
    object.Add(inputs[i], inner);
    const std::string ours = object.Dump() + "\n" + base::ShellQuote(inputs[i]) + "\n" +
                             base::ShellQuote(PythonJsonString(inputs[i]));
    // Python's dict has one member where the generated name is "k" itself.
    if (inputs[i] == "k") continue;
    ASSERT_EQ(ours, wanted[i]) << "input " << i << ": " << ToHex(inputs[i]);
  }
}

// The generator leaves NUL out, which no request may hold; the printing itself knows it.
TEST(PythonPrintingTest, NulIsEscaped) {
  EXPECT_EQ(PythonJsonString(std::string_view("a\0b", 3)), "\"a\\u0000b\"");
}

TEST(PythonPrintingTest, FloatsPrintAsPythonPrintsThem) {
  TextGenerator generator(TestSeed());
  std::vector<double> values = {0,    -0.0,   1,    30,   0.1,    1e-4,  9.99e-5,   1e15,
                                1e16, 1.5e16, 1e22, 1e23, 5e-324, 1e300, 123456.789};
  while (values.size() < kInputs) {
    const auto value = std::bit_cast<double>(generator.Bits());
    if (std::isfinite(value)) values.push_back(value);
    values.push_back(generator.Below(1'000'000) / 64.0);
  }
  std::vector<std::string> inputs;
  for (const double value : values) {
    inputs.push_back(std::to_string(std::bit_cast<uint64_t>(value)));
  }
  const std::vector<std::string> wanted =
      AskPython("d(__import__('struct').unpack('<d', int(s).to_bytes(8, 'little'))[0])", inputs);
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(PythonFloat(values[i]), wanted[i]) << "bits " << inputs[i];
  }
}

}  // namespace
}  // namespace tao::launch
