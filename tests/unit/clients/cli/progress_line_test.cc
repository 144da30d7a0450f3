#include "clients/cli/progress_line.h"

namespace tao::cli {
namespace {

namespace pb = inference::v1;

pb::Service Loading(const std::string& message) {
  pb::Service service;
  service.set_phase(pb::PHASE_LOADING);
  service.mutable_progress()->set_stage("loading_model");
  service.mutable_progress()->set_message(message);
  return service;
}

const absl::Time kStart = absl::FromUnixSeconds(1000);

TEST(ProgressLineTest, OffATerminalOneLineForEachChange) {
  std::string out;
  ProgressLine line({.on_terminal = false}, kStart, [&](std::string_view text) { out += text; });
  line.Show(Loading("1 of 2"), kStart);
  line.Show(Loading("1 of 2"), kStart + absl::Seconds(5));
  line.Tick(kStart + absl::Seconds(6));
  line.Show(Loading("2 of 2"), kStart + absl::Seconds(65));
  line.End();
  EXPECT_EQ(out,
            "[0:00] LOADING loading_model: 1 of 2\n"
            "[1:05] LOADING loading_model: 2 of 2\n");
}

TEST(ProgressLineTest, OnATerminalOneLineIsWrittenOverAndEndedOnce) {
  std::string out;
  {
    ProgressLine line({.on_terminal = true, .columns = 20}, kStart,
                      [&](std::string_view text) { out += text; });
    line.Tick(kStart);  // nothing to show yet
    line.Show(Loading("a long story"), kStart);
    line.Tick(kStart + absl::Seconds(1));
  }
  EXPECT_EQ(out, "\r[0:00] LOADING loa…\x1b[K\r[0:01] LOADING loa…\x1b[K\n");
}

TEST(ProgressLineTest, AContainersTextCannotMoveTheCursor) {
  EXPECT_EQ(ProgressText(Loading("a\r\x1b[2Jb\nc")), "LOADING loading_model: a [2Jb c");
}

TEST(ProgressLineTest, AFailureShowsItsMessageNotOldProgress) {
  pb::Service service = Loading("1 of 2");
  service.set_phase(pb::PHASE_FAILED);
  service.set_message("exit status 3");
  EXPECT_EQ(ProgressText(service), "FAILED: exit status 3");
}

}  // namespace
}  // namespace tao::cli
