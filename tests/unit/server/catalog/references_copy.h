#pragma once

// A copy of references/ in a temporary folder, for tests that change a file of it.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace tao::catalog {

// Removes the copy when it goes.
class ReferencesCopy {
 public:
  ReferencesCopy() {
    std::string folder = (std::filesystem::temp_directory_path() / "tao-references-XXXXXX");
    EXPECT_NE(::mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    std::filesystem::copy(std::filesystem::path(TAO_SOURCE_DIR) / "references", folder_);
  }
  ~ReferencesCopy() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  ReferencesCopy(const ReferencesCopy&) = delete;
  ReferencesCopy& operator=(const ReferencesCopy&) = delete;

  std::string folder() const { return folder_.string(); }
  std::filesystem::path PathOf(std::string_view file) const { return folder_ / file; }

  void Write(std::string_view file, std::string_view content) const {
    std::ofstream(PathOf(file), std::ios::binary) << content;
  }
  std::string Read(std::string_view file) const {
    std::ifstream in(PathOf(file), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // Puts `text` on lines of its own after the line `after`, which the file must have once.
  void InsertAfter(std::string_view file, std::string_view after, std::string_view text) const {
    std::string content = Read(file);
    const std::string line = "\n" + std::string(after) + "\n";
    const size_t at = content.find(line);
    ASSERT_NE(at, std::string::npos) << file << " has no line: " << after;
    ASSERT_EQ(content.find(line, at + 1), std::string::npos) << file << " has twice: " << after;
    content.insert(at + line.size(), text);
    Write(file, content);
  }

 private:
  std::filesystem::path folder_;
};

// Adds the arch acme-vlm as a user would: data alone, with an image, flags and a port flag of its
// own.
inline void AddAcmeVlm(const ReferencesCopy& references) {
  references.InsertAfter("versions.yaml", "images:",
                         "  acme:\n"
                         "    vlm: registry.example/acme/vlm:1.0\n");
  references.InsertAfter("service.yaml", "  mapping:", "    ACME_VLM: acme.vlm\n");
  references.InsertAfter("service.yaml", "valid_network_arch_config_basenames:", "  - acme-vlm\n");
  references.InsertAfter("service.yaml", "container_commands:",
                         "  acme-vlm:\n"
                         "    command:\n"
                         "      - literal: acme-serve\n"
                         "      - {value: checkpoint, path_flag: --weights, key_flag: --preset}\n"
                         "      - {port_flag: --listen-port}\n"
                         "      - {literal: --arch}\n"
                         "      - {value: network_arch}\n"
                         "      - {option: max_frames, flag: -F, type: int, minimum: 2}\n"
                         "      - {option: idle, flag: --idle, type: int, idle_timeout: true}\n"
                         "    required_secrets: [HF_TOKEN]\n");
  references.Write("acme-vlm.config.json", R"({
  "api_params": {"image": "ACME_VLM"},
  "spec_params": {"inference": {"results_dir": "output_dir", "model_path": "model_folder"}}
})");
}

}  // namespace tao::catalog
