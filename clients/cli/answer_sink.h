#pragma once

// Where the content of an answer goes: text to stdout as it comes, a video to a file. Base64 never
// reaches a terminal.

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace tao::cli {

// What a data: URI holds.
struct DataUri {
  std::string mime_type;
  std::string bytes;
};

// nullopt: `text` is no base64 data: URI.
std::optional<DataUri> ParseDataUri(std::string_view text);

// `path` can be written, as far as that shows before the request runs. InvalidArgument.
absl::Status CheckOutput(const std::string& path);

// Writes `bytes` beside `path`, and moves them there when all are written.
absl::Status WriteOutput(const std::string& path, std::string_view bytes);

class AnswerSink {
 public:
  struct Options {
    std::string output;        // --output; empty: stdout
    bool on_terminal = false;  // stdout is one
    std::string stem;          // of the file that a video goes to when --output does not say
  };
  using Write = std::function<void(std::string_view)>;

  // `out` is stdout, `tell` stderr.
  AnswerSink(Options options, Write out, Write tell);

  // The next part of the content. Text for stdout is written at once.
  void Add(std::string_view content);
  // The content is whole: what was kept is written, and said where.
  absl::Status End();
  // The content broke off. What was shown stays; a file is not written.
  void Break();

 private:
  const Options options_;
  const Write out_, tell_;
  std::string kept_;    // a data: URI, or what goes to a file, or too little to tell
  bool shown_ = false;  // something was written to stdout
};

// What has been received of a long answer, on a terminal's last line: its length is not known
// before it ends.
class ReceivedLine {
 public:
  using Write = std::function<void(std::string_view)>;
  ReceivedLine(bool on_terminal, Write write)
      : on_terminal_(on_terminal), write_(std::move(write)) {}
  // Erases the line.
  ~ReceivedLine();
  ReceivedLine(const ReceivedLine&) = delete;
  ReceivedLine& operator=(const ReceivedLine&) = delete;

  void Add(size_t bytes, absl::Time now);

 private:
  const bool on_terminal_;
  const Write write_;
  uint64_t bytes_ = 0;
  int drawn_ = 0;  // times
  absl::Time last_ = absl::InfinitePast();
};

}  // namespace tao::cli
