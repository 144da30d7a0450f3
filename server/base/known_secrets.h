#pragma once

// The values of all Secrets, for who looks for them in what passes through. Values alone, no names.

#include <cstdint>
#include <string>
#include <vector>

namespace tao::base {

// Those of 8 bytes or more. Thread-safe.
std::vector<std::string> KnownSecrets();

// Changes whenever a value was added. Never blocks. Thread-safe.
uint64_t KnownSecretsGeneration();

}  // namespace tao::base
