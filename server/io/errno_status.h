#pragma once

// What the kernel said, as an absl::Status with advice.

#include <absl/status/status.h>

#include <string_view>

namespace tao::io {

// "<what>: <strerror>. <what to do>". `what` names the call and its object: "open /x/y". The code
// is NotFound (ENOENT, ENOTDIR), ResourceExhausted (disk, quota or descriptors used up),
// FailedPrecondition (rights, read-only, symlink, wrong kind of file), else Unavailable.
absl::Status ErrnoStatus(int error, std::string_view what);

}  // namespace tao::io
