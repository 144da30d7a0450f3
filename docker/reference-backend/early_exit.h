#pragma once

// What a reader of outside text answers when the program must end before it serves.

#include <string>

namespace tao::reference_backend {

// `text` goes to stdout when `status` is 0 (--help), to stderr otherwise.
struct EarlyExit {
  int status = 2;
  std::string text;
};

}  // namespace tao::reference_backend
