#pragma once

// The reference data (references/), loaded once into checked, typed values. A new network_arch is a
// new set of rows in these files and nothing else: no code names an arch. What each key means is
// written where a user looks for it, in the files themselves.
//
//   ASSIGN_OR_RETURN(const auto catalog, catalog::Catalog::Load("references"));
//   const catalog::Arch* arch = catalog->FindArch("cosmos-rl");
//
// Immutable after Load, so any thread may read it.

#include <absl/status/statusor.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/catalog/request_schema.h"

namespace tao::catalog {

// What the container takes inference.model_path for.
enum class ModelPathKind { kFile, kFolder };
std::string_view ToString(ModelPathKind kind);  // "file", "folder"

// What is known only when a service starts.
enum class Value {
  kJobJson,           // the job payload as JSON
  kEnvJson,           // the environment payload as JSON
  kCheckpoint,        // a flag and a word: the path, or the model key of a hf_model:// path
  kOutputDir,         // Arch::output_dir
  kModelPath,         // the request's model_path
  kJobId,             // the service's job_id
  kNetworkArch,       // Arch::name
  kExecutionBackend,  // the platform's value of TAO_EXECUTION_BACKEND
};

enum class OptionType { kString, kInt, kFloat, kFlag };
std::string_view ToString(OptionType type);  // "string", "int", "float", "flag"

// An item of a container command, in order.
struct CommandItem {
  enum class Kind {
    kLiteral,   // a fixed word
    kValue,     // a computed word (kCheckpoint: two)
    kOption,    // an optional flag that the caller may set (`--arch-option name=value`)
    kPortFlag,  // the flag, followed by the port
  };
  Kind kind = Kind::kLiteral;
  std::string text;                       // kLiteral: the word; kOption, kPortFlag: the flag
  Value value = Value::kJobJson;          // kValue
  std::string path_flag;                  // kCheckpoint: the flag before an absolute path
  std::string key_flag;                   // kCheckpoint: the flag before the model key
  std::string option;                     // kOption: the name callers use
  OptionType type = OptionType::kString;  // kOption
  std::optional<double> minimum;          // kOption of type int or float: the least value allowed
  bool is_idle_timeout = false;           // kOption: also set by --idle-timeout, in minutes
};

struct Arch {
  std::string name;       // network_arch, lower case
  std::string image_key;  // of docker_image_defaults.mapping
  ModelPathKind model_path_kind = ModelPathKind::kFile;
  std::vector<CommandItem> command;
  bool needs_env_payload = true;              // the variables of runtime_env_minimal_no_callbacks
  std::string output_dir;                     // Value::kOutputDir; empty when the command has none
  std::vector<std::string> model_keys;        // known values of --model-key, for advice only
  std::vector<std::string> required_secrets;  // names without which the container cannot work
  bool has_port_flag() const;
  // Whether a hf_model:// path needs a model key beside it.
  bool takes_model_key() const;
};

struct Secrets {
  // Names whose values come from the daemon's environment and reach the container as environment
  // only.
  std::vector<std::string> passed_on;
  // Names that the daemon itself reads (NGC_KEY, LEPTON_AUTH_TOKEN, BREV_API_TOKEN) and never
  // passes on.
  std::vector<std::string> own;
};

// A word of a payload: a fixed text, or a value known at the start ("{job_id}" in the files).
struct Term {
  std::string text;
  std::optional<Value> value;
};

// A member of the job payload, in the order of the file: a term, or an object of more members.
struct PayloadMember {
  std::string name;
  Term term;
  std::vector<PayloadMember> members;  // not empty: an object, and `term` is unused
};

// A model_path protocol that no container can read, with the one to write instead ("" if there is
// none).
struct RefusedProtocol {
  std::string protocol;
  std::string instead;
};

// Value of an environment variable of the daemon; nullopt when unset.
using EnvironmentLookup = std::function<std::optional<std::string>(const std::string& name)>;

class Catalog {
 public:
  // Loads service.yaml, request.yaml, versions.yaml and every <network_arch>.config.json in
  // `folder`. InvalidArgument names file, line and key of each finding, all at once.
  static absl::StatusOr<std::shared_ptr<const Catalog>> Load(const std::string& folder);

  // Null when there is no such arch. Names are compared in lower case.
  const Arch* FindArch(std::string_view network_arch) const;
  // In the order of valid_network_arch_config_basenames.
  const std::vector<Arch>& archs() const { return archs_; }
  std::vector<std::string> arch_names() const;

  struct Image {
    std::string reference;
    std::string source;  // for people: the environment variable or the versions.yaml key
    // The environment variable that `reference` was read from; empty for versions.yaml.
    std::string variable;
  };
  // The image of `image_key`: the value of IMAGE_<KEY> when it is set and not empty (a
  // versions.yaml key only if that key exists; anything else is an image), else versions.yaml
  // through docker_image_defaults.mapping. A key that the mapping does not have falls back to the
  // image of docker_image_defaults.fallback (COSMOS_RL), its variable included.
  Image ResolveImage(std::string_view image_key, const EnvironmentLookup& environment) const;

  // Plain environment names that callers may set. Without the names of payload_env.
  const std::vector<std::string>& plain_env_names() const { return plain_env_names_; }
  // Names that no container may be given: they would switch its callbacks on.
  const std::vector<std::string>& forbidden_env_names() const { return forbidden_env_names_; }
  const Secrets& secrets() const { return secrets_; }

  // The variables that every container with Arch::needs_env_payload gets, in order. Ours to set:
  // callers may not.
  const std::vector<std::pair<std::string, Term>>& payload_env() const { return payload_env_; }
  // The members of the job payload (Value::kJobJson), in order.
  const std::vector<PayloadMember>& job_payload() const { return job_payload_; }

  // model_path protocols: "hf_model://" is accepted; the refused ones ("s3://", ...) are for
  // advice.
  const std::vector<std::string>& accepted_model_protocols() const { return accepted_protocols_; }
  const std::vector<RefusedProtocol>& refused_model_protocols() const { return refused_protocols_; }

  // request.yaml: what a container answers and accepts.
  const RequestSchema& request() const { return request_; }

  const std::string& folder() const { return folder_; }

 private:
  friend class CatalogLoader;
  Catalog() = default;

  std::string folder_;
  std::vector<Arch> archs_;
  std::map<std::string, std::string> image_mapping_;  // image key -> versions.yaml key
  std::string fallback_image_key_;
  std::map<std::string, std::string> versions_;  // "tao_toolkit.cosmos_rl" -> image
  std::vector<std::string> plain_env_names_, forbidden_env_names_;
  Secrets secrets_;
  std::vector<std::pair<std::string, Term>> payload_env_;
  std::vector<PayloadMember> job_payload_;
  std::vector<std::string> accepted_protocols_;
  std::vector<RefusedProtocol> refused_protocols_;
  RequestSchema request_;
};

}  // namespace tao::catalog
