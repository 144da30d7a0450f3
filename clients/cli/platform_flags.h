#pragma once

// The flags that say where to start and on which GPUs, shared by `start` and `check`. What a
// platform takes beyond them is the platform's to know: --platform-option NAME=VALUE, and every
// flag that the command itself does not have (--partition gpu), go to the daemon as they are. It
// refuses those that the platform does not take before it does anything; only then is a flag that
// looks like one of ours a misspelt one (--account is near --gpu-count, and an option of slurm).

#include <grpcpp/support/status.h>
#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "tao/inference/v1/inference.pb.h"

namespace tao::cli {

namespace pb = ::tao::inference::v1;

struct PlatformFlags {
  std::string platform;
  std::vector<std::string> options;  // NAME=VALUE
  std::string gpu_mode;
  int32_t gpu_count = 0;
  std::vector<std::string> gpu_ids;
  const CLI::App* parser = nullptr;  // has the flags that it does not know
};

void AddPlatformFlags(CLI::App& parser, PlatformFlags& flags);

// False when a flag cannot be what it should be, which is said on stderr.
bool FillPlatform(const PlatformFlags& flags, pb::StartRequest& request);
bool FillPlatform(const PlatformFlags& flags, pb::CheckPlatformRequest& request);

// What `status`, the daemon's answer, means for the flags that were passed on: for each that it did
// not take, or could not look at for want of a platform, the flag of the command that it is near.
// One line each, for stderr; mostly none.
std::string MisspeltFlags(const PlatformFlags& flags, const grpc::Status& status);

}  // namespace tao::cli
