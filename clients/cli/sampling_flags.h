#pragma once

// The sampling values of `chat`: flags whose names only the daemon knows (GetRequestSchema), so
// that a new arch needs no new client. `--max-tokens 5` is the field max_tokens. Pure.

#include <absl/status/statusor.h>
#include <CLI/CLI.hpp>

#include <string>
#include <vector>

#include "tao/inference/v1/inference.pb.h"

namespace tao::cli {

namespace pb = ::tao::inference::v1;

// `words` of a command line, with each flag that `parser` and its parents do not have joined to its
// value: `--seed 7` becomes `--seed=7`. Each of them takes one, and without this the parser would
// take it for the text. What follows a `--` stays as it is.
std::vector<std::string> JoinUnknownFlags(const CLI::App& parser, std::vector<std::string> words);

// A flag as it was given: {"max_tokens", "5"}.
struct SamplingFlag {
  std::string name;
  std::string text;
};

// InvalidArgument: a word that is none, or a flag without a value.
absl::StatusOr<std::vector<SamplingFlag>> ReadSamplingFlags(const std::vector<std::string>& words);

// `text` as a value of `field`. InvalidArgument: it is not of its type, or out of its range.
absl::StatusOr<pb::SamplingValue> ParseSampling(const pb::SamplingField& field,
                                                const std::string& text);

// The values of `flags`, in the order of `schema`. InvalidArgument: a value that ParseSampling does
// not take, a field given twice, or one that the arch does not have; the message names the flag
// that is near, among `own_flags` ("--image") too.
absl::StatusOr<std::vector<pb::SamplingValue>> ToSampling(
    const std::vector<SamplingFlag>& flags, const pb::GetRequestSchemaResponse& schema,
    const std::vector<std::string>& own_flags);

// The same without a schema: each as what it looks like (7 is an int, true a bool).
std::vector<pb::SamplingValue> GuessSampling(const std::vector<SamplingFlag>& flags);

// The fields of `schema` that `values` does not set.
std::vector<pb::SamplingField> MissingFields(const pb::GetRequestSchemaResponse& schema,
                                             const std::vector<pb::SamplingValue>& values);

// "1024", "0.8", "a text"; "none" when it is left out.
std::string ValueText(const pb::SamplingValue& value);
// "--max-tokens".
std::string FlagOf(const std::string& field_name);
// "int, at least 1".
std::string TypeText(const pb::SamplingField& field);
// A line for each field: flag, type and range, default, help.
std::string FieldTable(const std::vector<pb::SamplingField>& fields);

}  // namespace tao::cli
