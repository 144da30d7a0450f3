#pragma once

// The way of a service to READY, as it is shown while the user waits: on a terminal one line that
// is written over, elsewhere one line for each change. Externally synchronised.

#include <absl/time/time.h>

#include <functional>
#include <string>
#include <string_view>

#include "tao/inference/v1/inference.pb.h"

namespace tao::cli {

// "LOADING loading_model: shard 3 of 8": phase and progress of `service`, on one line.
std::string ProgressText(const inference::v1::Service& service);

class ProgressLine {
 public:
  struct Options {
    bool on_terminal = false;
    size_t columns = 80;
  };
  using Write = std::function<void(std::string_view)>;

  ProgressLine(const Options& options, absl::Time started, Write write);
  // Ends the line, so that what is printed next stands below it.
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  // Shows `service`; off a terminal only if it says something new.
  void Show(const inference::v1::Service& service, absl::Time now);
  // Time has passed: on a terminal the line counts on.
  void Tick(absl::Time now);
  // Ends the line. What is shown later begins a new one.
  void End();

 private:
  void Draw(absl::Time now);

  const Options options_;
  const absl::Time started_;
  const Write write_;
  std::string text_;
  bool open_ = false;  // the cursor stands at the end of a line of ours
};

}  // namespace tao::cli
