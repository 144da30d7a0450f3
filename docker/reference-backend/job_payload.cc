#include "docker/reference-backend/job_payload.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <string>

namespace tao::reference_backend {
namespace {

using nlohmann::json;

bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : std::isxdigit(static_cast<unsigned char>(text[i])) == 0) {
      return false;
    }
  }
  return true;
}

// HF_TOKEN, CLEARML_API_ACCESS_KEY, ...: a word of the name gives it away.
bool LooksSecret(std::string_view name) {
  static constexpr std::string_view kWords[] = {"KEY",    "TOKEN",      "SECRET",     "PASSWORD",
                                                "PASSWD", "CREDENTIAL", "CREDENTIALS"};
  std::string word;
  for (size_t i = 0; i <= name.size(); ++i) {
    if (i < name.size() && name[i] != '_') {
      word += static_cast<char>(std::toupper(static_cast<unsigned char>(name[i])));
      continue;
    }
    if (std::find(std::begin(kWords), std::end(kWords), word) != std::end(kWords)) return true;
    word.clear();
  }
  return false;
}

// The string member `key` of `object`; null when it is absent, no string, or empty.
const std::string* StringMember(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return nullptr;
  const std::string* const text = found->get_ptr<const std::string*>();
  return text->empty() ? nullptr : text;
}

PayloadError MissingMember(std::string_view path) {
  return {"the job has no \"" + std::string(path) + "\" that is a string with text in it"};
}

}  // namespace

bool TurnsOnCallbacks(std::string_view name) {
  return name == "TAO_LOGGING_SERVER_URL" || name == "TAO_ADMIN_KEY";
}

std::optional<std::string> WrongModelPath(std::string_view model_path) {
  constexpr std::string_view kHub = "hf_model://";
  if (model_path.substr(0, kHub.size()) == kHub) {
    const std::string_view name = model_path.substr(kHub.size());
    const size_t slash = name.find('/');
    const bool org_and_model = slash != std::string_view::npos && slash > 0 &&
                               slash + 1 < name.size() &&
                               name.find('/', slash + 1) == std::string_view::npos;
    if (org_and_model) return std::nullopt;
  } else if (!model_path.empty() && model_path[0] == '/') {
    return std::nullopt;
  }
  return "model path '" + std::string(model_path) +
         "' is neither hf_model://<org>/<model> nor an absolute path";
}

std::variant<JobPayload, PayloadError> ParseJob(std::string_view text) {
  const json job = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (job.is_discarded()) return PayloadError{"not JSON: '" + std::string(text) + "'"};
  if (!job.is_object()) return PayloadError{"not a JSON object: '" + std::string(text) + "'"};
  const std::string* const job_id = StringMember(job, "job_id");
  if (job_id == nullptr) return MissingMember("job_id");
  if (!IsUuid(*job_id)) return PayloadError{"\"job_id\" is no UUID: '" + *job_id + "'"};
  const auto specs = job.find("specs");
  const std::string* const model_path =
      specs != job.end() && specs->is_object() ? StringMember(*specs, "model_path") : nullptr;
  if (model_path == nullptr) return MissingMember("specs.model_path");
  if (const auto wrong = WrongModelPath(*model_path)) return PayloadError{*wrong};
  const std::string* const network = StringMember(job, "neural_network_name");
  if (network == nullptr) return MissingMember("neural_network_name");
  return JobPayload{*job_id, *model_path, *network};
}

std::optional<PayloadError> CheckEnvPayload(std::string_view text, std::string_view job_id) {
  const json env = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (env.is_discarded()) return PayloadError{"not JSON: '" + std::string(text) + "'"};
  if (!env.is_object()) return PayloadError{"not a JSON object: '" + std::string(text) + "'"};
  for (const auto& [name, value] : env.items()) {
    if (TurnsOnCallbacks(name)) return PayloadError{name + " must never be set"};
    if (LooksSecret(name)) {
      return PayloadError{name + " is a secret: it belongs in the container's environment only"};
    }
    if (!value.is_string()) return PayloadError{"the value of " + name + " is not a string"};
  }
  for (const char* name : {"TAO_EXECUTION_BACKEND", "TAO_API_JOB_ID", "CLOUD_BASED"}) {
    if (!env.contains(name)) return PayloadError{std::string(name) + " is missing"};
  }
  const std::string backend = env["TAO_EXECUTION_BACKEND"];
  static constexpr std::string_view kBackends[] = {"local-docker", "lepton", "slurm", "local-k8s"};
  if (std::find(std::begin(kBackends), std::end(kBackends), backend) == std::end(kBackends)) {
    return PayloadError{"TAO_EXECUTION_BACKEND is '" + backend +
                        "', not one of local-docker, lepton, slurm, local-k8s"};
  }
  if (env["TAO_API_JOB_ID"] != job_id) {
    return PayloadError{"TAO_API_JOB_ID is '" + env["TAO_API_JOB_ID"].get<std::string>() +
                        "', and the job's job_id is '" + std::string(job_id) + "'"};
  }
  if (env["CLOUD_BASED"] != "False") {
    return PayloadError{"CLOUD_BASED is '" + env["CLOUD_BASED"].get<std::string>() +
                        "', not 'False'"};
  }
  return std::nullopt;
}

}  // namespace tao::reference_backend
