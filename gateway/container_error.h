#pragma once

// What a container says when it cannot answer: {"error":{"type","message"}}, or the readiness form
// {"reason","message"} (docs/gateway.md). Pure; thread-safe.

#include <string>
#include <string_view>

namespace tao::gateway {

struct ContainerError {
  std::string type;     // error.type or reason; cut after 100 bytes
  std::string message;  // cut after 1000 bytes
};

// Empty members where `body` is something else.
ContainerError ParseContainerError(std::string_view body);

// The container will never serve: initialising or loading the model failed.
bool IsFinal(const ContainerError& error);

// The container is on its way: initialising or loading.
bool IsLoading(const ContainerError& error);

}  // namespace tao::gateway
