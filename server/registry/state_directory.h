#pragma once

// The daemon's own durable truth: one folder, one owner. Layout:
//   lock                  flock'ed for the life of the daemon; holds its pid
//   daemon-id             a UUID; containers carry it as the label tao-daemon
//   services/JOB_ID.json  ServiceRecord, replaced atomically (temporary file, fsync, rename, fsync)
//   jobs/JOB_ID/          the drivers' files (local-process: logs, pid, exit status)
// Folders are 0700, files 0600. Thread-safe; calls for one job_id must not overlap (the registry
// sees to that), calls for different ones run side by side.

#include <absl/status/statusor.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "server/registry/service_record.h"

namespace tao::registry {

class StateDirectory {
 public:
  // Creates what is missing, takes the lock, and removes what a writer that was killed left half
  // written. FailedPrecondition when another daemon holds it (with its pid), when it is a symlink,
  // belongs to another user or can be written to by others. A folder that others may read is made
  // 0700.
  static absl::StatusOr<std::unique_ptr<StateDirectory>> Open(const std::string& path);
  ~StateDirectory();  // gives the lock back

  const std::string& path() const;
  const std::string& daemon_id() const;
  // jobs/JOB_ID, created 0700.
  absl::StatusOr<std::string> JobFolder(const std::string& job_id);

  // Durable when it returns OK.
  absl::Status Save(const ServiceRecord& record);
  absl::Status Remove(const std::string& job_id);  // with its job folder; gone already is OK
  struct Loaded {
    std::vector<ServiceRecord> records;
    std::vector<std::string> broken;  // files kept aside as *.broken, each with what is wrong
    // job_id -> the file kept aside, now or by an earlier daemon, for those without a record: what
    // became of these services is not known.
    std::map<std::string, std::string> set_aside;
  };
  // FailedPrecondition when a record was written by a program with another schema: nothing may be
  // started on half of the truth. The same for what cannot be read.
  absl::StatusOr<Loaded> LoadAll();

 private:
  struct Files;
  explicit StateDirectory(std::unique_ptr<Files> files);
  std::unique_ptr<Files> files_;
};

}  // namespace tao::registry
