#pragma once

// RFC 9209's word for an error, where it is more exact than the one that server/base/errors.h has
// for the error's token. Thread-safe.

#include <absl/status/status.h>

#include <string>
#include <string_view>

namespace tao::upstream {

// `error`, which carries `word` from now on: one of the error types of RFC 9209 section 2.3.
absl::Status WithProxyStatus(absl::Status error, std::string_view word);

// The word that `error` carries; empty when it is its token's.
std::string ProxyStatusOf(const absl::Status& error);

}  // namespace tao::upstream
