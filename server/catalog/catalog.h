#pragma once

// The reference data (references/), loaded once into checked, typed values. A new network_arch is a new
// set of rows in these files and nothing else: no code names an arch.

#include <absl/status/statusor.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tao::catalog {

// What the container takes inference.model_path for.
enum class ModelPathKind { kFile, kFolder };
std::string_view ToString(ModelPathKind kind);  // "file", "folder"

enum class OptionType { kString, kInt, kFloat, kFlag };

// An item of a container command, in order.
struct CommandItem {
  enum class Kind {
    kLiteral,   // a fixed word
    kValue,     // a computed word: job_json, env_json, checkpoint (one or two words), output_dir
    kOption,    // an optional flag that the caller may set (`--arch-option name=value`)
    kPortFlag,  // the flag, followed by the port
  };
  Kind kind = Kind::kLiteral;
  std::string text;         // kLiteral: the word; kValue: its name; kOption, kPortFlag: the flag
  std::string option;       // kOption: the name callers use
  OptionType type = OptionType::kString;  // kOption
  bool is_idle_timeout = false;           // kOption: also set by --idle-timeout, in minutes
};

struct Arch {
  std::string name;       // network_arch, lower case
  std::string image_key;  // of docker_image_defaults.mapping
  ModelPathKind model_path_kind = ModelPathKind::kFile;
  std::vector<CommandItem> command;
  bool needs_env_payload = true;  // the three variables of runtime_env_minimal_no_callbacks
  std::string output_dir;         // kValue output_dir; empty when the command has none
  std::vector<std::string> model_keys;  // known values of --model-key, for advice only
  bool has_port_flag() const;
};

struct Secrets {
  // Names whose values come from the daemon's environment and reach the container as environment only.
  std::vector<std::string> passed_on;
  // Names that the daemon itself reads (NGC_KEY, LEPTON_AUTH_TOKEN, BREV_API_TOKEN) and never passes on.
  std::vector<std::string> own;
};

class Catalog {
 public:
  // Loads service.yaml, request.yaml, versions.yaml and every <network_arch>.config.json in `folder`.
  // InvalidArgument names file, line and key of each finding, all at once.
  static absl::StatusOr<std::shared_ptr<const Catalog>> Load(const std::string& folder);

  // Null when there is no such arch. Names are compared in lower case.
  const Arch* FindArch(std::string_view network_arch) const;
  const std::vector<Arch>& archs() const { return archs_; }

  struct Image {
    std::string reference;
    std::string source;  // for people: the environment variable or the versions.yaml key
  };
  // The image of `image_key`: IMAGE_<KEY> when `override` has a value (a versions.yaml key only if that
  // key exists; anything else is an image), else versions.yaml through docker_image_defaults.mapping;
  // an unknown key falls back to COSMOS_RL.
  Image ResolveImage(std::string_view image_key, const std::optional<std::string>& override_value) const;

  // Plain environment names that callers may set, and secrets.
  const std::vector<std::string>& plain_env_names() const { return plain_env_names_; }
  const std::vector<std::string>& forbidden_env_names() const { return forbidden_env_names_; }
  const Secrets& secrets() const { return secrets_; }

  // model_path protocols: "hf_model://" is accepted; the refused ones ("s3://", ...) are for advice.
  const std::vector<std::string>& accepted_model_protocols() const { return accepted_protocols_; }
  const std::vector<std::string>& refused_model_protocols() const { return refused_protocols_; }

  // The files as they were read, for `GetRequestSchema` and the contract (issue of its own): the path.
  const std::string& folder() const { return folder_; }

 private:
  friend class CatalogLoader;
  Catalog() = default;

  std::string folder_;
  std::vector<Arch> archs_;
  std::map<std::string, std::string> image_mapping_;  // image key -> versions.yaml key
  std::map<std::string, std::string> versions_;       // "tao_toolkit.cosmos_rl" -> image
  std::vector<std::string> plain_env_names_, forbidden_env_names_;
  Secrets secrets_;
  std::vector<std::string> accepted_protocols_, refused_protocols_;
};

}  // namespace tao::catalog
