#pragma once

// The fields of a chat completion body that one arch samples by. Pure; thread-safe.

#include <string>
#include <vector>

#include "server/catalog/request_schema.h"

namespace tao::catalog {

struct SamplingField {
  const RequestField* field = nullptr;  // points into the ChatBody that it was read from
  const FieldRule* rule = nullptr;      // of the arch, likewise
  std::string help;                     // one line: what the field means to this arch
};

// In the order of the file; those that the arch ignores, and those of other archs, are left out.
std::vector<SamplingField> SamplingFieldsOf(const ChatBody& chat, const std::string& network_arch);

}  // namespace tao::catalog
