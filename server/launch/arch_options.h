#pragma once

// --arch-option and --idle-timeout: the optional flags of an arch's command.

#include <map>
#include <string>

#include "server/launch/request_check.h"

namespace tao::launch {

// What the caller set, by CommandItem::option: the word after the flag; empty for a flag without
// one.
using OptionWords = std::map<std::string, std::string>;

// Names are compared with `-` and `_` taken for each other. Values are checked against their type
// and printed as Python prints them. `arch` may be null: then only the texts themselves are
// checked.
OptionWords ReadArchOptions(const LaunchRequest& request, const catalog::Arch* arch,
                            RequestCheck& check);

}  // namespace tao::launch
