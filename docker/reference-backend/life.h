#pragma once

// The life of a container as a pure function of the time since its start: which stage it is in, how
// far that has come and what to say of it.

#include <chrono>
#include <optional>
#include <string>

#include "docker/reference-backend/behaviour.h"
#include "docker/reference-backend/command_line.h"

namespace tao::reference_backend {

struct LifeState {
  Stage stage = Stage::kInitializing;
  // When the progress last changed, counted from the start. A stage that downloads moves in tenths.
  Milliseconds changed{0};
  int percent = 0;
};

// Where a container of this behaviour is `elapsed` after its start.
LifeState LifeAt(const Behaviour& behaviour, Milliseconds elapsed);

// How long after `elapsed` the stage changes next; nothing when it never does.
std::optional<Milliseconds> NextStageIn(const Behaviour& behaviour, Milliseconds elapsed);

// The progress text of the stage, for people.
std::string ProgressMessage(const Behaviour& behaviour, const CommandLine& line,
                            const LifeState& state);

}  // namespace tao::reference_backend
