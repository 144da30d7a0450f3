#pragma once

// What is wrong with the reference data: collected while the files are read, told all at once.

#include <absl/status/status.h>

#include <string>
#include <string_view>
#include <vector>

namespace tao::catalog {

// Externally synchronised.
class Findings {
 public:
  // `line` counts from 1; 0 when the finding is about the file as a whole. `key` is the path of the
  // key ("container_commands.cosmos-rl.command[2].value"); empty for the whole file.
  void Add(std::string_view file, int line, std::string_view key, std::string_view message);

  bool empty() const { return all_.empty(); }
  // OK when there is none. Otherwise InvalidArgument: a heading, then one line each,
  // `file:line: key: message`, in the order of files read, then of lines.
  absl::Status ToStatus(std::string_view folder) const;

 private:
  struct Finding {
    size_t file;  // index into files_
    int line;
    std::string text;
  };
  std::vector<std::string> files_;
  std::vector<Finding> all_;
};

}  // namespace tao::catalog
