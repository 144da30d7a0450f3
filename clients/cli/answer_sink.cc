#include "clients/cli/answer_sink.h"

#include <absl/strings/escaping.h>
#include <absl/strings/str_format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "clients/cli/terminal_text.h"
#include "server/base/strings.h"

namespace tao::cli {
namespace {

constexpr std::string_view kData = "data:";
// Less is not worth a line of its own.
constexpr uint64_t kLongAnswer = 256 * 1024;
constexpr absl::Duration kDrawEvery = absl::Milliseconds(200);

// "video/mp4" -> "mp4"; letters and digits only, since it becomes part of a file name.
std::string ExtensionOf(const std::string& mime_type) {
  std::string extension;
  for (const char c : mime_type.substr(mime_type.find('/') + 1)) {
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) extension += c;
  }
  return extension.empty() ? "bin" : extension;
}

}  // namespace

std::optional<DataUri> ParseDataUri(std::string_view text) {
  constexpr std::string_view kBase64 = ";base64";
  if (!text.starts_with(kData)) return std::nullopt;
  text.remove_prefix(kData.size());
  const size_t comma = text.substr(0, 256).find(',');
  if (comma == std::string_view::npos) return std::nullopt;
  const std::string_view type = text.substr(0, comma);
  if (!type.ends_with(kBase64)) return std::nullopt;
  DataUri uri;
  uri.mime_type = std::string(type.substr(0, type.find(';')));
  if (!absl::Base64Unescape(base::ToAbsl(text.substr(comma + 1)), &uri.bytes)) return std::nullopt;
  return uri;
}

absl::Status CheckOutput(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--output %s is a folder; name a file", base::Quoted(path)));
  }
  std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) folder = ".";
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    return absl::InvalidArgumentError(absl::StrFormat("--output %s cannot be written: %s: %s",
                                                      base::Quoted(path), folder.string(),
                                                      std::strerror(errno)));
  }
  return absl::OkStatus();
}

absl::Status WriteOutput(const std::string& path, std::string_view bytes) {
  const std::string part = path + ".part";
  errno = 0;
  std::ofstream file(part, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (file && std::rename(part.c_str(), path.c_str()) == 0) return absl::OkStatus();
  const int why = errno;
  std::remove(part.c_str());
  return absl::InternalError(absl::StrFormat("the answer could not be written to %s: %s",
                                             base::Quoted(path), std::strerror(why)));
}

AnswerSink::AnswerSink(Options options, Write out, Write tell)
    : options_(std::move(options)), out_(std::move(out)), tell_(std::move(tell)) {}

void AnswerSink::Add(std::string_view content) {
  if (content.empty()) return;
  if (shown_) return out_(content);
  kept_ += content;
  const bool may_be_data = std::string_view(kept_).substr(0, kData.size()) ==
                           kData.substr(0, std::min(kept_.size(), kData.size()));
  if (!options_.output.empty() || may_be_data) return;
  shown_ = true;
  out_(std::exchange(kept_, {}));
}

absl::Status AnswerSink::End() {
  if (shown_) {
    out_("\n");
    return absl::OkStatus();
  }
  const std::optional<DataUri> uri = ParseDataUri(kept_);
  std::string path = options_.output;
  if (path.empty()) {
    if (!options_.on_terminal || (!uri.has_value() && !kept_.starts_with(kData))) {
      out_(kept_);
      out_("\n");
      return absl::OkStatus();
    }
    path = options_.stem + "." + (uri.has_value() ? ExtensionOf(uri->mime_type) : "txt");
  }
  const std::string_view bytes = uri.has_value() ? uri->bytes : kept_;
  if (const absl::Status written = WriteOutput(path, bytes); !written.ok()) return written;
  tell_(absl::StrFormat("Wrote %s (%s, %d bytes)%s\n", OneLine(path),
                        uri.has_value() ? OneLine(uri->mime_type) : "text", bytes.size(),
                        options_.output.empty() ? "; --output FILE chooses another name" : ""));
  return absl::OkStatus();
}

void AnswerSink::Break() {
  if (shown_) out_("\n");
}

ReceivedLine::~ReceivedLine() {
  if (drawn_ > 0) write_("\r\x1b[K");
}

void ReceivedLine::Add(size_t bytes, absl::Time now) {
  constexpr int kWidth = 24;
  constexpr int kMark = 4;
  bytes_ += bytes;
  if (!on_terminal_ || bytes_ < kLongAnswer || now - last_ < kDrawEvery) return;
  last_ = now;
  std::string bar(kWidth, ' ');
  bar.replace(static_cast<size_t>(drawn_++ % (kWidth - kMark + 1)), kMark, "====");
  write_(absl::StrFormat("\rReceiving [%s] %.1f MiB\x1b[K", bar,
                         static_cast<double>(bytes_) / (1 << 20)));
}

}  // namespace tao::cli
