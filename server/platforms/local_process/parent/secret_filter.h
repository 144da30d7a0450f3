#pragma once

// Takes secret values out of the service's output before it is written: a service that prints its
// environment must not leave it in the state directory. Single thread.

#include <string>
#include <string_view>
#include <vector>

namespace tao::process_parent {

class SecretFilter {
 public:
  // Values of less than 8 bytes are left: replacing them would garble ordinary words.
  explicit SecretFilter(std::vector<std::string> values);

  // What can be written by now of all that was added: each value is ***. An end that may be the
  // beginning of a value is held until it is known.
  std::string Add(std::string_view text);
  // What was held, when no more comes.
  std::string TakeRest();

 private:
  std::vector<std::string> values_;  // longest first
  std::string held_;
};

}  // namespace tao::process_parent
