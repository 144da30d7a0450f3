#include "server/registry/state_directory.h"

#include <absl/strings/str_format.h>
#include <absl/strings/strip.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/base/uuid.h"
#include "server/io/errno_status.h"
#include "server/io/file.h"
#include "server/registry/keep_aside.h"
#include "server/registry/record_codec.h"

namespace tao::registry {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kRecordSuffix = ".json";
constexpr std::string_view kBrokenSuffix = ".broken";

absl::Status ErrorCodeStatus(const std::error_code& error, const std::string& what) {
  return io::ErrnoStatus(error.value(), what);
}

// The names in `folder`, sorted, so that what is logged has an order.
absl::StatusOr<std::vector<std::string>> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  if (error) return ErrorCodeStatus(error, "list folder " + folder);
  std::sort(names.begin(), names.end());
  return names;
}

// `path` is a folder of ours (io::MakeFolder). What others could write to is no truth; what they
// could only read is closed to them.
absl::Status CheckPrivate(const std::string& path) {
  const io::UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat info = {};
  if (!fd.valid() || fstat(fd.get(), &info) != 0)
    return io::ErrnoStatus(errno, "open folder " + path);
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "state directory %s has mode %04o: other users may write to it, so what it says cannot be "
        "trusted. Make sure that nothing in it is theirs, then run `chmod 700 %s`",
        path, info.st_mode & 07777, path));
  }
  if ((info.st_mode & 077) != 0 && fchmod(fd.get(), 0700) != 0) {
    return io::ErrnoStatus(errno, "set the mode of " + path);
  }
  return absl::OkStatus();
}

absl::StatusOr<io::UniqueFd> TakeLock(const std::string& folder) {
  const std::string path = folder + "/lock";
  io::UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return io::ErrnoStatus(errno, "open " + path);
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return io::ErrnoStatus(errno, "lock " + path);
    char pid[32] = {};
    const ssize_t got = pread(fd.get(), pid, sizeof(pid) - 1, 0);
    const std::string_view text(pid, got > 0 ? static_cast<size_t>(got) : 0);
    const std::string_view digits = text.substr(0, text.find_first_not_of("0123456789"));
    return absl::FailedPreconditionError(
        absl::StrFormat("state directory %s is in use by another tao-inference-server (pid %s). "
                        "Stop that one, or give "
                        "this one its own --state-dir (and --registry)",
                        folder, digits.empty() ? "unknown" : digits));
  }
  const std::string pid = absl::StrFormat("%d\n", getpid());
  if (ftruncate(fd.get(), 0) != 0 ||
      pwrite(fd.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return io::ErrnoStatus(errno, "write " + path);
  }
  return fd;
}

absl::StatusOr<std::string> LoadOrMakeDaemonId(const std::string& folder) {
  const std::string path = folder + "/daemon-id";
  const absl::StatusOr<std::string> read = io::ReadOwnFile(path, 4096);
  if (absl::IsNotFound(read.status())) {
    const std::string made = base::NewUuid();
    RETURN_IF_ERROR(io::ReplaceFile(path, made + "\n"));
    return made;
  }
  if (!read.ok()) return read.status();
  std::string id(base::ToStd(absl::StripAsciiWhitespace(*read)));
  if (base::IsUuid(id)) return id;
  return absl::FailedPreconditionError(
      absl::StrFormat("%s holds %s, which is no UUID. Containers of this daemon carry it as the "
                      "label tao-daemon: write "
                      "the value from one of them back, or remove the file if none runs",
                      path, base::Quoted(id)));
}

// Nobody else writes here while we hold the lock: every temporary file is of a writer that was
// killed.
absl::Status RemoveTemporaries(const std::string& folder) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(folder));
  for (const std::string& name : names) {
    if (name.find(io::kTemporaryInfix) == std::string::npos) continue;
    const std::string path = folder + "/" + name;
    if (unlink(path.c_str()) != 0 && errno != ENOENT)
      return io::ErrnoStatus(errno, "remove " + path);
  }
  return absl::OkStatus();
}

absl::Status CheckJobId(const std::string& job_id) {
  if (base::IsUuid(job_id)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "job_id %s is no lower-case UUID of version 4, and cannot be a name in the state directory",
      base::Quoted(job_id)));
}

absl::StatusOr<ServiceRecord> LoadRecord(const std::string& path, const std::string& job_id) {
  ASSIGN_OR_RETURN(const std::string text, io::ReadOwnFile(path));
  ASSIGN_OR_RETURN(ServiceRecord record, ParseRecord(text));
  if (record.job_id == job_id) return record;
  return absl::InvalidArgumentError(absl::StrFormat(
      "not a service record: \"job_id\" is %s, and the file's name says another one",
      base::Quoted(record.job_id)));
}

// Of "JOB_ID.json.broken" and "JOB_ID.json.broken-2"; empty: another name.
std::string JobIdOfSetAside(std::string_view name) {
  const size_t dot = name.find('.');
  if (dot == std::string_view::npos) return "";
  const std::string_view job_id = name.substr(0, dot);
  const std::string suffix = absl::StrFormat("%s%s", kRecordSuffix, kBrokenSuffix);
  return name.substr(dot).starts_with(suffix) && base::IsUuid(job_id) ? std::string(job_id) : "";
}

}  // namespace

struct StateDirectory::Files {
  std::string path;
  std::string services;
  std::string jobs;
  std::string daemon_id;
  io::UniqueFd lock;

  std::string RecordPath(const std::string& job_id) const {
    return absl::StrFormat("%s/%s%s", services, job_id, kRecordSuffix);
  }
};

StateDirectory::StateDirectory(std::unique_ptr<Files> files) : files_(std::move(files)) {}

StateDirectory::~StateDirectory() = default;

const std::string& StateDirectory::path() const { return files_->path; }

const std::string& StateDirectory::daemon_id() const { return files_->daemon_id; }

absl::StatusOr<std::unique_ptr<StateDirectory>> StateDirectory::Open(const std::string& path) {
  auto files = std::make_unique<Files>();
  files->path = path;
  files->services = path + "/services";
  files->jobs = path + "/jobs";
  if (const absl::Status made = io::MakeFolder(path); !made.ok()) {
    return absl::Status(made.code(),
                        absl::StrFormat("the state directory cannot be used: %s. Name another with "
                                        "--state-dir",
                                        base::ToStd(made.message())));
  }
  RETURN_IF_ERROR(CheckPrivate(path));
  ASSIGN_OR_RETURN(files->lock, TakeLock(path));
  RETURN_IF_ERROR(io::MakeFolder(files->services));
  RETURN_IF_ERROR(io::MakeFolder(files->jobs));
  RETURN_IF_ERROR(RemoveTemporaries(path));
  RETURN_IF_ERROR(RemoveTemporaries(files->services));
  ASSIGN_OR_RETURN(files->daemon_id, LoadOrMakeDaemonId(path));
  return std::unique_ptr<StateDirectory>(new StateDirectory(std::move(files)));
}

absl::StatusOr<std::string> StateDirectory::JobFolder(const std::string& job_id) {
  RETURN_IF_ERROR(CheckJobId(job_id));
  std::string folder = files_->jobs + "/" + job_id;
  RETURN_IF_ERROR(io::MakeFolder(folder));
  return folder;
}

absl::Status StateDirectory::Save(const ServiceRecord& record) {
  RETURN_IF_ERROR(CheckJobId(record.job_id));
  return io::ReplaceFile(files_->RecordPath(record.job_id), PrintRecord(record));
}

absl::Status StateDirectory::Remove(const std::string& job_id) {
  RETURN_IF_ERROR(CheckJobId(job_id));
  // The record goes last: after a crash in between, the removal is simply done again.
  std::error_code error;
  const std::string folder = files_->jobs + "/" + job_id;
  fs::remove_all(folder, error);
  if (error) return ErrorCodeStatus(error, "remove folder " + folder);
  const std::string path = files_->RecordPath(job_id);
  if (unlink(path.c_str()) == 0) return io::SyncFolder(files_->services);
  return errno == ENOENT ? absl::OkStatus() : io::ErrnoStatus(errno, "remove " + path);
}

absl::StatusOr<StateDirectory::Loaded> StateDirectory::LoadAll() {
  Loaded loaded;
  ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(files_->services));
  for (const std::string& name : names) {
    std::string_view stem = name;
    if (const std::string job_id = JobIdOfSetAside(name); !job_id.empty()) {
      loaded.set_aside.emplace(job_id, files_->services + "/" + name);
    }
    if (!stem.ends_with(kRecordSuffix)) continue;  // kept aside before, or somebody's own
    stem.remove_suffix(kRecordSuffix.size());
    const std::string path = files_->services + "/" + name;
    absl::StatusOr<ServiceRecord> record = LoadRecord(path, std::string(stem));
    if (record.ok() && base::IsUuid(stem)) {
      loaded.records.push_back(*std::move(record));
      continue;
    }
    const absl::Status wrong =
        record.ok() ? absl::InvalidArgumentError("its name is no job_id") : record.status();
    if (!absl::IsInvalidArgument(wrong)) {
      return absl::Status(wrong.code(), absl::StrFormat("load %s: %s", path, wrong.message()));
    }
    ASSIGN_OR_RETURN(const std::string kept, KeepAside(path, kBrokenSuffix));
    loaded.broken.push_back(absl::StrFormat("%s: %s", kept, wrong.message()));
    if (base::IsUuid(stem)) loaded.set_aside.insert_or_assign(std::string(stem), kept);
  }
  for (const ServiceRecord& record : loaded.records) loaded.set_aside.erase(record.job_id);
  if (!loaded.broken.empty()) RETURN_IF_ERROR(io::SyncFolder(files_->services));
  return loaded;
}

}  // namespace tao::registry
