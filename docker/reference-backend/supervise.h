#pragma once

// The container's life as its main thread sees it: stages begin, then something ends it.

#include <csignal>

#include "docker/reference-backend/activity.h"
#include "docker/reference-backend/behaviour.h"
#include "docker/reference-backend/command_line.h"
#include "docker/reference-backend/exchange_log.h"

namespace tao::reference_backend {

// Blocks: prints each stage to stdout as it begins, and returns when one of `signals`, which are
// blocked in every thread, or the idle timeout ends it. A crash does not return.
void Supervise(const Behaviour& behaviour, const CommandLine& line, const Activity& activity,
               ExchangeLog& log, const sigset_t& signals);

}  // namespace tao::reference_backend
