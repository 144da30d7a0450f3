#include "server/catalog/service_yaml.h"

#include <absl/strings/str_format.h>

#include <algorithm>

#include "server/base/strings.h"
#include "server/catalog/command_reader.h"
#include "server/catalog/names.h"

namespace tao::catalog {
namespace {

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void ReadImages(Section section, const std::map<std::string, std::string>& versions,
                ServiceData& data) {
  std::vector<std::string> known_versions;
  for (const auto& [key, image] : versions) known_versions.push_back(key);

  Section mapping = section.Map("mapping", Need::kRequired);
  std::vector<std::string> image_keys;
  for (const std::string& key : mapping.Names()) {
    if (!IsImageKey(key)) {
      mapping.Add(key,
                  "an image key must be upper-case letters, digits and _: operators override "
                  "it with IMAGE_<KEY>");
    }
    const Placed version = mapping.Text(key, Need::kRequired);
    // An unreadable versions.yaml is a finding of its own.
    if (!version.text.empty() && !versions.empty() && !versions.contains(version.text)) {
      mapping.AddUnknown(version, known_versions);
    }
    image_keys.push_back(key);
    data.image_mapping[key] = version.text;
  }
  const Placed fallback = section.Text("fallback", Need::kRequired);
  if (!fallback.text.empty() && !Contains(image_keys, fallback.text)) {
    section.AddUnknown(fallback, image_keys);
  }
  data.fallback_image_key = fallback.text;
  section.Done();
}

void ReadArchs(Section& file, ServiceData& data) {
  constexpr std::string_view kNames = "valid_network_arch_config_basenames";
  std::vector<std::string> names;
  Section commands = file.Map("container_commands", Need::kRequired);
  for (const Placed& name : file.TextList(kNames, Need::kRequired)) {
    if (!IsArchName(name.text)) {
      file.AddAt(name, absl::StrFormat("must be lower-case letters, digits, '.', '_' and '-', but "
                                       "is %s",
                                       base::Quoted(name.text)));
      continue;
    }
    names.push_back(name.text);
    Arch& arch = data.archs.emplace_back();
    arch.name = name.text;
    Section row = commands.Map(name.text, Need::kRequired);
    if (commands.Has(name.text)) ReadContainerCommand(row, arch);
  }
  if (names.empty() && file.Has(kNames)) file.Add(kNames, "names no network_arch");
  for (const std::string& row : commands.Names()) {
    if (!Contains(names, row)) {
      commands.AddUnknown({.text = row, .line = commands.LineOf(row), .path = commands.PathOf(row)},
                          names);
    }
  }
}

void ReadProtocols(Section section, ServiceData& data) {
  const auto check = [&](const Placed& protocol) {
    if (protocol.text.empty() || IsProtocol(protocol.text)) return;
    section.AddAt(protocol, absl::StrFormat("must be a protocol such as s3://, but is %s",
                                            base::Quoted(protocol.text)));
  };
  for (const Placed& protocol : section.TextList("accepted", Need::kRequired)) {
    check(protocol);
    data.accepted_protocols.push_back(protocol.text);
  }
  for (Section& row : section.MapList("refused", Need::kOptional)) {
    const Placed protocol = row.Text("protocol", Need::kRequired);
    check(protocol);
    if (Contains(data.accepted_protocols, protocol.text)) {
      row.AddAt(protocol, "is accepted, so it cannot be refused");
    }
    const Placed instead = row.Text("instead", Need::kOptional);
    if (!instead.text.empty() && !Contains(data.accepted_protocols, instead.text)) {
      row.AddUnknown(instead, data.accepted_protocols);
    }
    row.Done();
    data.refused_protocols.push_back({.protocol = protocol.text, .instead = instead.text});
  }
  section.Done();
}

// "{job_id}" is a value; what has no braces is a text.
Term ReadTerm(Section& section, const Placed& given) {
  static const auto* const values = new Choices<Value>{
      {"{job_id}", Value::kJobId},
      {"{model_path}", Value::kModelPath},
      {"{network_arch}", Value::kNetworkArch},
      {"{execution_backend}", Value::kExecutionBackend},
  };
  Term term{.text = given.text, .value = std::nullopt};
  if (given.text.find_first_of("{}") == std::string::npos) return term;
  std::vector<std::string> names;
  for (const auto& [name, value] : *values) {
    if (name == given.text) {
      term.value = value;
      return term;
    }
    names.push_back(name);
  }
  section.AddUnknown(given, names);
  return term;
}

std::vector<PayloadMember> ReadPayload(Section section) {
  std::vector<PayloadMember> members;
  for (const std::string& name : section.Names()) {
    PayloadMember& member = members.emplace_back();
    member.name = name;
    if (section.Node(name)->kind == DataNode::Kind::kMap) {
      member.members = ReadPayload(section.Map(name, Need::kRequired));
    } else {
      member.term = ReadTerm(section, section.Text(name, Need::kRequired));
    }
  }
  if (members.empty() && section.readable()) section.Add("", "must have at least one member");
  return members;
}

std::vector<std::string> ReadEnvNames(Section& section, std::string_view key, Need need) {
  std::vector<std::string> names;
  for (Placed& name : section.TextList(key, need)) {
    if (!IsEnvName(name.text)) {
      section.AddAt(name, absl::StrFormat("must be an environment name (upper-case letters, digits "
                                          "and _), but is %s",
                                          base::Quoted(name.text)));
    }
    names.push_back(std::move(name.text));
  }
  return names;
}

// The four lists that say what becomes of an environment name must not contradict each other.
void ReadEnvironment(Section& file, ServiceData& data) {
  const std::vector<std::string> allowed =
      ReadEnvNames(file, "allowed_docker_env_var_names", Need::kRequired);

  Section runtime = file.Map("runtime_env_minimal_no_callbacks", Need::kRequired);
  Section set = runtime.Map("set", Need::kRequired);
  for (const std::string& name : set.Names()) {
    if (!Contains(allowed, name)) {
      set.Add(name, "is not in allowed_docker_env_var_names");
    }
    data.payload_env.emplace_back(name, ReadTerm(set, set.Text(name, Need::kRequired)));
  }
  data.forbidden_env_names = ReadEnvNames(runtime, "never", Need::kRequired);
  for (const std::string& name : data.forbidden_env_names) {
    if (Contains(allowed, name)) {
      runtime.Add("never", absl::StrFormat("%s is in allowed_docker_env_var_names", name));
    }
  }
  runtime.Done();

  Section secrets = file.Map("secrets_handling", Need::kRequired);
  data.secrets.passed_on = ReadEnvNames(secrets, "passed_on", Need::kRequired);
  data.secrets.own = ReadEnvNames(secrets, "own", Need::kRequired);
  for (const std::string& name : data.secrets.passed_on) {
    if (!Contains(allowed, name)) {
      secrets.Add("passed_on", absl::StrFormat("%s is not in allowed_docker_env_var_names", name));
    }
    if (set.Has(name)) {
      secrets.Add("passed_on", absl::StrFormat("%s is set by runtime_env_minimal_no_callbacks: it "
                                               "cannot be a secret",
                                               name));
    }
  }
  for (const std::string& name : data.secrets.own) {
    if (Contains(allowed, name) || Contains(data.secrets.passed_on, name)) {
      secrets.Add("own", absl::StrFormat("%s may be given to containers: it cannot be the "
                                         "daemon's own",
                                         name));
    }
  }
  secrets.Done();

  for (const std::string& name : allowed) {
    if (!Contains(data.secrets.passed_on, name) && !set.Has(name)) {
      data.plain_env_names.push_back(name);
    }
  }
}

void CheckRequiredSecrets(Section& file, const ServiceData& data) {
  Section commands = file.Map("container_commands", Need::kOptional);
  for (const Arch& arch : data.archs) {
    if (!commands.Has(arch.name)) continue;
    for (const std::string& name : arch.required_secrets) {
      if (Contains(data.secrets.passed_on, name)) continue;
      commands.Map(arch.name, Need::kOptional)
          .Add("required_secrets",
               absl::StrFormat("%s is not in secrets_handling.passed_on", name));
    }
  }
}

}  // namespace

ServiceData ReadServiceYaml(Section file, const std::map<std::string, std::string>& versions) {
  ServiceData data;
  ReadImages(file.Map("docker_image_defaults", Need::kRequired), versions, data);
  ReadArchs(file, data);
  ReadProtocols(file.Map("model_path_protocols", Need::kRequired), data);
  data.job_payload = ReadPayload(file.Map("job_payload", Need::kRequired));
  ReadEnvironment(file, data);
  CheckRequiredSecrets(file, data);
  file.Done();
  return data;
}

}  // namespace tao::catalog
