#include "server/catalog/catalog_loader.h"

#include <absl/strings/str_format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "server/base/strings.h"
#include "server/catalog/names.h"
#include "server/catalog/request_yaml.h"
#include "server/catalog/service_yaml.h"

namespace tao::catalog {
namespace {

// The real files have a few kilobytes. A pipe or a device is no reference data either.
constexpr size_t kMaxFileBytes = 1 << 20;
constexpr std::string_view kConfigSuffix = ".config.json";

// The content of a file, or why there is none.
absl::StatusOr<std::string> Content(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) return absl::NotFoundError("there is no such file");
  if (!std::filesystem::is_regular_file(status)) {
    return absl::InvalidArgumentError("is not a regular file");
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    return absl::InvalidArgumentError(absl::StrFormat("cannot be read: %s", strerror(errno)));
  }
  std::string content(kMaxFileBytes + 1, '\0');
  in.read(content.data(), static_cast<std::streamsize>(content.size()));
  if (in.bad()) return absl::InvalidArgumentError("cannot be read");
  content.resize(static_cast<size_t>(in.gcount()));
  if (content.size() > kMaxFileBytes) {
    return absl::InvalidArgumentError("is larger than 1 MiB: not a reference file");
  }
  return content;
}

// The line of the first byte that is not UTF-8; 0 when there is none.
int LineOfBadUtf8(const std::string& text) {
  if (base::IsValidUtf8(text)) return 0;
  int line = 1;
  for (size_t begin = 0;; ++line) {
    const size_t end = text.find('\n', begin);
    if (!base::IsValidUtf8(std::string_view(text).substr(begin, end - begin))) return line;
    if (end == std::string::npos) return line;
    begin = end + 1;
  }
}

}  // namespace

std::unique_ptr<DataNode> CatalogLoader::ReadFile(const std::string& name, Format format) {
  const absl::StatusOr<std::string> content = Content(std::filesystem::path(folder_) / name);
  if (!content.ok()) {
    findings_.Add(name, 0, "", base::ToStd(content.status().message()));
    return nullptr;
  }
  if (const int line = LineOfBadUtf8(*content); line != 0) {
    findings_.Add(name, line, "", "is not UTF-8 text");
    return nullptr;
  }
  return format == Format::kYaml ? ReadYaml(name, *content, findings_)
                                 : ReadJson(name, *content, findings_);
}

void CatalogLoader::LoadVersions() {
  constexpr std::string_view kFile = "versions.yaml";
  const auto root = ReadFile(std::string(kFile), Format::kYaml);
  if (root == nullptr) return;
  Section file(kFile, *root, "", findings_);
  Section groups = file.Map("images", Need::kRequired);
  for (const std::string& group : groups.Names()) {
    Section images = groups.Map(group, Need::kRequired);
    for (const std::string& name : images.Names()) {
      const Placed image = images.Text(name, Need::kRequired);
      if (!image.text.empty() && !IsImageReference(image.text)) {
        images.AddAt(image,
                     absl::StrFormat("%s is no image reference ([registry/]name[:tag][@digest])",
                                     base::Quoted(image.text)));
      }
      catalog_.versions_[absl::StrFormat("%s.%s", group, name)] = image.text;
    }
  }
  file.Done();
}

void CatalogLoader::LoadService() {
  constexpr std::string_view kFile = "service.yaml";
  const auto root = ReadFile(std::string(kFile), Format::kYaml);
  if (root == nullptr) return;
  ServiceData data = ReadServiceYaml(Section(kFile, *root, "", findings_), catalog_.versions_);
  catalog_.image_mapping_ = std::move(data.image_mapping);
  catalog_.fallback_image_key_ = std::move(data.fallback_image_key);
  catalog_.archs_ = std::move(data.archs);
  catalog_.plain_env_names_ = std::move(data.plain_env_names);
  catalog_.forbidden_env_names_ = std::move(data.forbidden_env_names);
  catalog_.secrets_ = std::move(data.secrets);
  catalog_.payload_env_ = std::move(data.payload_env);
  catalog_.job_payload_ = std::move(data.job_payload);
  catalog_.accepted_protocols_ = std::move(data.accepted_protocols);
  catalog_.refused_protocols_ = std::move(data.refused_protocols);
  for (Arch& arch : catalog_.archs_) LoadArchConfig(arch);
  FindStrayArchConfigs();
}

void CatalogLoader::LoadArchConfig(Arch& arch) {
  const std::string name = absl::StrFormat("%s%s", arch.name, kConfigSuffix);
  const auto root = ReadFile(name, Format::kJson);
  if (root == nullptr) return;
  Section file(name, *root, "", findings_);

  Section api_params = file.Map("api_params", Need::kRequired);
  const Placed image = api_params.Text("image", Need::kRequired);
  if (!image.text.empty() && !IsImageKey(image.text)) {
    api_params.AddAt(image, absl::StrFormat("must be an image key (upper-case letters, digits and "
                                            "_), but is %s",
                                            base::Quoted(image.text)));
  }
  arch.image_key = image.text;
  api_params.Done();

  Section spec_params = file.Map("spec_params", Need::kRequired);
  Section inference = spec_params.Map("inference", Need::kRequired);
  inference.Text("results_dir", Need::kRequired);
  const Placed model_path = inference.Text("model_path", Need::kRequired);
  arch.model_path_kind = model_path.text.find("folder") == std::string::npos
                             ? ModelPathKind::kFile
                             : ModelPathKind::kFolder;
  inference.Done();
  spec_params.Done();
  file.Done();
}

// A config file that no list names is an arch that somebody believes to have added.
void CatalogLoader::FindStrayArchConfigs() {
  std::vector<std::string> strays;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder_, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.ends_with(kConfigSuffix)) continue;
    const std::string arch = name.substr(0, name.size() - kConfigSuffix.size());
    const bool listed = std::any_of(catalog_.archs_.begin(), catalog_.archs_.end(),
                                    [&](const Arch& known) { return known.name == arch; });
    if (!listed) strays.push_back(name);
  }
  std::sort(strays.begin(), strays.end());
  for (const std::string& name : strays) {
    findings_.Add(name, 0, "",
                  "belongs to no network_arch: list it in service.yaml's "
                  "valid_network_arch_config_basenames, or remove the file");
  }
}

void CatalogLoader::LoadRequest() {
  constexpr std::string_view kFile = "request.yaml";
  const auto root = ReadFile(std::string(kFile), Format::kYaml);
  if (root == nullptr) return;
  catalog_.request_ = ReadRequestYaml(Section(kFile, *root, "", findings_), catalog_.arch_names());
}

absl::StatusOr<std::shared_ptr<const Catalog>> CatalogLoader::Load() {
  std::error_code error;
  if (!std::filesystem::is_directory(folder_, error)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("reference data: there is no folder %s; name the one that holds "
                        "service.yaml with --references",
                        base::Quoted(folder_)));
  }
  catalog_.folder_ = folder_;
  LoadVersions();
  LoadService();
  LoadRequest();
  const absl::Status status = findings_.ToStatus(folder_);
  if (!status.ok()) return status;
  return std::make_shared<const Catalog>(std::move(catalog_));
}

absl::StatusOr<std::shared_ptr<const Catalog>> Catalog::Load(const std::string& folder) {
  return CatalogLoader(folder).Load();
}

}  // namespace tao::catalog
