#pragma once

// The bodies of the GET answers, and the refusal of a chat completion by a container that is not
// ready: each a pure function of the container's state.

#include <optional>
#include <string>

#include "docker/reference-backend/activity.h"
#include "docker/reference-backend/command_line.h"
#include "docker/reference-backend/life.h"

namespace tao::reference_backend {

struct JsonReply {
  int status = 200;
  std::string body;
};

JsonReply LivenessReply(const Behaviour& behaviour, const CommandLine& line,
                        const Activity& activity);
JsonReply ReadinessReply(const Behaviour& behaviour, const CommandLine& line,
                         const LifeState& state);
JsonReply StatusReply(const Behaviour& behaviour, const CommandLine& line, const LifeState& state);

// The container's error body, {"error":{"message":...,"type":...}}, with this HTTP status.
JsonReply ErrorReply(int status, const std::string& type, const std::string& message);

// The answer to a chat completion before the stage is ready, whatever its body; nothing when it is.
std::optional<JsonReply> ChatRefusal(const Behaviour& behaviour, const CommandLine& line,
                                     const LifeState& state);

}  // namespace tao::reference_backend
