#include "server/base/log.h"

#include <gmock/gmock.h>

#include "server/base/secret.h"

namespace tao::base {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Logged(LogFormat format, const std::string& value) {
  ConfigureLog(LogLevel::kInfo, format);
  testing::internal::CaptureStderr();
  Log(LogLevel::kInfo, "test", "something happened", {{"why", value}});
  return testing::internal::GetCapturedStderr();
}

TEST(LogTest, SecretsAreRedactedWhateverTheirCharacters) {
  const Secret plain("log-test-plain-value");
  const Secret quoted("log \"test\" back\\slash ü");
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    for (const Secret& secret : {plain, quoted}) {
      const std::string line = Logged(format, "bad value " + secret.Reveal() + " given");
      EXPECT_THAT(line, HasSubstr("bad value *** given"));
      EXPECT_THAT(line, Not(HasSubstr("slash")));
    }
  }
}

TEST(LogTest, NumbersAreNumbersInJson) {
  ConfigureLog(LogLevel::kInfo, LogFormat::kJson);
  testing::internal::CaptureStderr();
  Log(LogLevel::kInfo, "test", "something happened",
      {{"status", 503}, {"bytes", uint64_t{1} << 63}, {"ms", 0.25}, {"text", "503"}});
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr(R"("status":503,"bytes":9223372036854775808,"ms":0.25,"text":"503"})"));
}

TEST(LogTest, NumbersAreBareInText) {
  ConfigureLog(LogLevel::kInfo, LogFormat::kText);
  testing::internal::CaptureStderr();
  Log(LogLevel::kInfo, "test", "something happened", {{"status", 503}, {"ms", 0.25}});
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("status=503 ms=0.25\n"));
}

}  // namespace
}  // namespace tao::base
