#include "clients/cli/answer_sink.h"

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace tao::cli {
namespace {

using testing::HasSubstr;

constexpr char kVideo[] = "data:video/mp4;base64,dmlkZW8=";

class AnswerSinkTest : public testing::Test {
 protected:
  AnswerSinkTest() {
    std::string name = testing::TempDir() + "/sink.XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~AnswerSinkTest() override { std::filesystem::remove_all(folder_); }

  AnswerSink Sink(const std::string& output, bool on_terminal) {
    return AnswerSink(
        {.output = output, .on_terminal = on_terminal, .stem = folder_ + "/answer"},
        [this](std::string_view text) { out_ += text; },
        [this](std::string_view text) { told_ += text; });
  }

  std::string Content(const std::string& name) {
    std::ostringstream text;
    text << std::ifstream(folder_ + "/" + name).rdbuf();
    return text.str();
  }

  std::string folder_, out_, told_;
};

TEST_F(AnswerSinkTest, TextIsShownAsItComes) {
  AnswerSink sink = Sink("", true);
  sink.Add("da");  // a data: URI may begin so
  EXPECT_EQ(out_, "");
  sink.Add("wn");
  EXPECT_EQ(out_, "dawn");
  sink.Add(" breaks");
  EXPECT_EQ(out_, "dawn breaks");
  ASSERT_TRUE(sink.End().ok());
  EXPECT_EQ(out_, "dawn breaks\n");
}

TEST_F(AnswerSinkTest, AShortTextIsShownAtTheEnd) {
  AnswerSink sink = Sink("", true);
  sink.Add("dat");
  ASSERT_TRUE(sink.End().ok());
  EXPECT_EQ(out_, "dat\n");
}

TEST_F(AnswerSinkTest, AVideoGoesToTheFileDecoded) {
  AnswerSink sink = Sink(folder_ + "/a.mp4", false);
  for (const char c : std::string_view(kVideo)) sink.Add(std::string_view(&c, 1));
  ASSERT_TRUE(sink.End().ok());
  EXPECT_EQ(Content("a.mp4"), "video");
  EXPECT_EQ(out_, "");
  EXPECT_THAT(told_, HasSubstr("a.mp4 (video/mp4, 5 bytes)\n"));
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/a.mp4.part"));
}

TEST_F(AnswerSinkTest, ATerminalNeverSeesBase64) {
  AnswerSink sink = Sink("", true);
  sink.Add(kVideo);
  ASSERT_TRUE(sink.End().ok());
  EXPECT_EQ(out_, "");
  EXPECT_EQ(Content("answer.mp4"), "video");
  EXPECT_THAT(told_, HasSubstr("--output FILE chooses another name"));
}

TEST_F(AnswerSinkTest, APipeGetsWhatTheServiceGave) {
  AnswerSink sink = Sink("", false);
  sink.Add(kVideo);
  ASSERT_TRUE(sink.End().ok());
  EXPECT_EQ(out_, absl::StrCat(kVideo, "\n"));
}

TEST_F(AnswerSinkTest, TextGoesToTheFileToo) {
  AnswerSink sink = Sink(folder_ + "/a.txt", true);
  sink.Add("four");
  ASSERT_TRUE(sink.End().ok());
  EXPECT_EQ(Content("a.txt"), "four");
  EXPECT_EQ(out_, "");
}

TEST_F(AnswerSinkTest, AnAnswerThatBrokeOffIsNoFile) {
  AnswerSink sink = Sink(folder_ + "/a.mp4", true);
  sink.Add(kVideo);
  sink.Break();
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(AnswerSinkTest, AFileThatCannotBeWrittenIsToldBeforeAndAfter) {
  EXPECT_TRUE(CheckOutput(folder_ + "/new").ok());
  EXPECT_TRUE(CheckOutput("plain-name").ok());
  EXPECT_FALSE(CheckOutput(folder_).ok());
  EXPECT_FALSE(CheckOutput(folder_ + "/none/a.mp4").ok());
  EXPECT_FALSE(WriteOutput(folder_ + "/none/a.mp4", "x").ok());
}

TEST_F(AnswerSinkTest, ReadsDataUrisOfBase64Only) {
  EXPECT_EQ(ParseDataUri(kVideo)->bytes, "video");
  EXPECT_EQ(ParseDataUri("data:video/mp4;codecs=x;base64,dmlkZW8=")->mime_type, "video/mp4");
  for (const char* text :
       {"", "data:", "data:text/plain,hi", "data:video/mp4;base64,%%%", "text"}) {
    EXPECT_FALSE(ParseDataUri(text).has_value()) << text;
  }
}

TEST(ReceivedLineTest, IsDrawnForLongAnswersOnATerminalAndErased) {
  std::string drawn;
  const auto write = [&](std::string_view text) { drawn += text; };
  const absl::Time now = absl::UnixEpoch();
  {
    ReceivedLine elsewhere(false, write);
    elsewhere.Add(10 << 20, now);
    ReceivedLine line(true, write);
    line.Add(1000, now);
    EXPECT_EQ(drawn, "") << "soon over";
    line.Add(3 << 20, now);
    EXPECT_THAT(drawn, HasSubstr("3.0 MiB"));
    drawn.clear();
    line.Add(1, now + absl::Milliseconds(10));
    EXPECT_EQ(drawn, "") << "drawn just now";
  }
  EXPECT_EQ(drawn, "\r\x1b[K");
}

}  // namespace
}  // namespace tao::cli
