#pragma once

// Who decides each sampling value of a typed request: the caller, or our default when the caller
// says so; never nobody. Pure; thread-safe.

#include <string>
#include <vector>

#include "server/base/errors.h"
#include "server/catalog/request_schema.h"
#include "tao/inference/v1/inference.pb.h"

namespace tao::api {

namespace pb = ::tao::inference::v1;

// The values to send, in the order of the schema, without those that are left out. `checks_names`:
// whether the fields of `network_arch` are known. What is wrong goes to `violations`: a field that
// is missing, given twice, without a value, infinite, or none of the arch's.
std::vector<pb::SamplingValue> ChooseSampling(const pb::ChatRequest& chat,
                                              const catalog::ChatBody& schema,
                                              const std::string& network_arch, bool checks_names,
                                              std::vector<base::FieldViolation>& violations);

// `value` as JSON; a whole number has no fraction, so that an integer may come as float_value.
void AppendSamplingJson(std::string& out, const pb::SamplingValue& value);
// The same for any number; it is finite.
void AppendNumber(std::string& out, double number);

}  // namespace tao::api
