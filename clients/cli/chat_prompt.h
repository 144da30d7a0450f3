#pragma once

// What `chat` asks for on a terminal. Questions go to stderr, so that stdout is the answer alone.

#include <optional>
#include <string>
#include <vector>

#include "clients/cli/connection.h"

namespace tao::cli {

// Whether there is somebody to ask: stdin and stderr are terminals.
bool CanAsk();

// Which of `services`, two at least. nullopt: the input ended.
std::optional<pb::Service> AskWhichService(const std::vector<pb::Service>& services);

// A value for each of `fields`, in one round: Enter takes the default, what does not fit is asked
// again. nullopt: the input ended.
std::optional<std::vector<pb::SamplingValue>> AskForSampling(
    const std::string& network_arch, const std::vector<pb::SamplingField>& fields);

}  // namespace tao::cli
