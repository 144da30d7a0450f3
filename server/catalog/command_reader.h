#pragma once

// A row of service.yaml's container_commands.

#include "server/catalog/catalog.h"
#include "server/catalog/section.h"

namespace tao::catalog {

// Fills the parts of `arch` that its row decides, and records what is wrong with it.
void ReadContainerCommand(Section& row, Arch& arch);

}  // namespace tao::catalog
