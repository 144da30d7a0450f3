#pragma once

// The two JSON arguments of the archs that take them: --job and --docker_env_vars. Pure.

#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace tao::reference_backend {

struct JobPayload {
  std::string job_id;               // a UUID
  std::string model_path;           // hf_model://<org>/<model>, or an absolute path
  std::string neural_network_name;  // the network_arch
};

// What is wrong with an argument, in words that fit after "argument --job: ".
struct PayloadError {
  std::string message;
};

std::variant<JobPayload, PayloadError> ParseJob(std::string_view json);

// Why `json` is not the environment payload of the service `job_id`: not an object of strings, one
// of the three needed names missing or wrong, a secret in it, or a name that turns on the
// container's call-backs. Nothing when it is right.
std::optional<PayloadError> CheckEnvPayload(std::string_view json, std::string_view job_id);

// The names that must never be set: with them a failed container removes itself.
bool TurnsOnCallbacks(std::string_view name);

// Why a model path is none that a container loads; nothing when it is one.
std::optional<std::string> WrongModelPath(std::string_view model_path);

}  // namespace tao::reference_backend
