#pragma once

// Values that must never be seen. A Secret prints as ***; every value that the process learns is also
// known to Redact(), which the log, the saved log tails and error texts of helper programs go through.

#include <ostream>
#include <string>
#include <string_view>
#include <utility>

namespace tao::base {

// A credential. Copies are allowed; the value leaves only through Reveal(), at the one place that
// needs it (a child's environment, an Authorization header).
class Secret {
 public:
  Secret() = default;
  // Also registers the value for Redact().
  explicit Secret(std::string value);

  const std::string& Reveal() const { return value_; }
  bool empty() const { return value_.empty(); }

  friend bool operator==(const Secret& a, const Secret& b) { return a.value_ == b.value_; }
  friend std::ostream& operator<<(std::ostream& out, const Secret&) { return out << "***"; }

 private:
  std::string value_;
};

// The value of environment variable `name`; empty when it is unset or empty.
Secret SecretFromEnvironment(const std::string& name);

// `text` with each known secret value of 8 bytes or more replaced by ***. Shorter values are left:
// replacing them would garble ordinary words. Thread-safe.
std::string Redact(std::string text);

}  // namespace tao::base
