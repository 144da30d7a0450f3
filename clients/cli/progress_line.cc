#include "clients/cli/progress_line.h"

#include <absl/strings/str_format.h>

#include <utility>

#include "clients/cli/service_text.h"
#include "clients/cli/terminal_text.h"

namespace tao::cli {

std::string ProgressText(const inference::v1::Service& service) {
  std::string text = PhaseName(service.phase());
  const std::string stage = OneLine(service.progress().stage());
  // READY and FAILED are final for whoever waits: their progress is of the past.
  const bool on_its_way = service.phase() != inference::v1::PHASE_READY &&
                          service.phase() != inference::v1::PHASE_FAILED;
  if (on_its_way && !stage.empty()) text += " " + stage;
  std::string said = on_its_way ? OneLine(service.progress().message()) : "";
  if (said.empty()) said = OneLine(service.message());
  if (!said.empty()) text += ": " + said;
  return text;
}

ProgressLine::ProgressLine(const Options& options, absl::Time started, Write write)
    : options_(options), started_(started), write_(std::move(write)) {}

ProgressLine::~ProgressLine() { End(); }

void ProgressLine::Show(const inference::v1::Service& service, absl::Time now) {
  std::string text = ProgressText(service);
  if (!options_.on_terminal && text == text_) return;
  text_ = std::move(text);
  Draw(now);
}

void ProgressLine::Tick(absl::Time now) {
  if (options_.on_terminal && !text_.empty()) Draw(now);
}

void ProgressLine::End() {
  if (open_) write_("\n");
  open_ = false;
}

void ProgressLine::Draw(absl::Time now) {
  const auto seconds = absl::ToInt64Seconds(now - started_);
  const std::string line = absl::StrFormat("[%d:%02d] %s", seconds / 60, seconds % 60, text_);
  if (!options_.on_terminal) {
    write_(line + "\n");
    return;
  }
  // CR and "erase to the end"; the last column stays free, or some terminals wrap.
  write_("\r" + CutTo(line, options_.columns - 1) + "\x1b[K");
  open_ = true;
}

}  // namespace tao::cli
