#pragma once

// Everything that is wrong with one start request, collected while its parts are looked at.

#include <absl/status/status.h>

#include <string>
#include <string_view>
#include <vector>

#include "server/base/errors.h"
#include "server/launch/launch_plan.h"

namespace tao::launch {

// Externally synchronised.
class RequestCheck {
 public:
  RequestCheck(const catalog::Catalog& catalog, const LaunchContext& context);

  // `field` is a path as in StartRequest ("mounts[0]"); `description` says what was found, why it
  // is wrong and what to write instead, without the value of a variable: it may be a secret.
  void Add(std::string field, std::string description);

  // Whether `text` can be looked at further: valid UTF-8 of at most `max_bytes`, without a NUL,
  // that holds no secret of the daemon's environment. If not, the violation is added. Every text of
  // a request goes through this before any other message quotes it.
  bool AllowsText(std::string_view field, std::string_view text, size_t max_bytes);

  // The path of a map's entry: env["NAME"], arch_options["name"].
  static std::string PathOf(std::string_view map, std::string_view key);

  bool ok() const { return violations_.empty(); }
  // OK, or InvalidArgument with all violations.
  absl::Status ToStatus() const;

 private:
  struct SecretValue {
    std::string name;
    std::string value;
  };
  std::vector<SecretValue> secrets_;
  std::vector<base::FieldViolation> violations_;
};

}  // namespace tao::launch
