#include "clients/cli/completion.h"

#include <gmock/gmock.h>

namespace tao::cli {
namespace {

using testing::HasSubstr;

// A command that is added to the parser is completed, in both shells, without a word here.
TEST(CompletionTest, IsWrittenFromTheParser) {
  CLI::App app("", "tao-inference");
  std::string text;
  app.add_option("--server", text, "Where the daemon's face is");
  CLI::App* const fly = app.add_subcommand("fly", "Take off");
  fly->add_option("JOB_ID", text);
  fly->add_option("--height", text, "How high")->check(CLI::IsMember({"low", "high"}));
  fly->add_flag("--fast");
  const std::string bash = BashCompletion(app);
  EXPECT_THAT(bash, HasSubstr("fly) flags=\"--help --height --fast --server\" "
                              "words=\"$(_tao_inference_job_ids)\""));
  EXPECT_THAT(bash, HasSubstr("\"fly --height\") words=\"low high\""));
  EXPECT_THAT(bash, HasSubstr("words=\"fly\""));
  const std::string zsh = ZshCompletion(app);
  EXPECT_THAT(zsh, HasSubstr("'fly:Take off'"));
  EXPECT_THAT(zsh, HasSubstr("'--server:Where the daemon'\\''s face is'"));
  EXPECT_THAT(zsh, HasSubstr("('fly --height') compadd -- low high; return"));
}

}  // namespace
}  // namespace tao::cli
