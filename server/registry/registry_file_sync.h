#pragma once

// Keeps the registry file and the registry in step, both ways: writes the file when what it should
// carry of our services changes, and tells lifecycle what other tools did to it. inotify on the
// file's folder brings their changes; nothing polls.
//
// One thread owned by this class does all reading and writing, pass by pass. What is asked for
// while a pass runs is done together by the next one, so that 32 services that are published at
// once cost a few writes.

#include <absl/status/status.h>
#include <absl/time/time.h>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>

#include "server/base/clock.h"
#include "server/base/mutex.h"
#include "server/registry/registry.h"
#include "server/registry/registry_file_codec.h"

namespace tao::registry {

// Told what other tools did to the registry file. Called on the sync's thread (and on Start's), one
// call at a time, without locks: may use the registry, must not block for long, and must not call
// PublishNow or UnpublishNow, which wait for this thread.
class ForeignEntryListener {
 public:
  virtual ~ForeignEntryListener() = default;
  // An entry that is not ours appeared, or changed. It is checked (CheckedEntry): routable.
  virtual void OnForeignEntry(const FileEntry& entry) = 0;
  // It is no longer in the file, or no longer routable.
  virtual void OnForeignEntryGone(std::string_view job_id) = 0;
  // Another tool removed the entry of a service of ours. Ask the platform: if it runs, PublishNow
  // writes the entry back; if it is gone, stop the service. Until then the entry stays out of the
  // file.
  virtual void OnOurEntryVanished(std::string_view job_id) = 0;
};

// Thread-safe, but for Start and Stop.
class RegistryFileSync : public RegistryObserver {
 public:
  // `registry` and `clock` outlive it. Nothing happens before Start.
  RegistryFileSync(std::string path, const Registry& registry, const base::Clock& clock);
  // Stop, if that was not called.
  ~RegistryFileSync() override;

  // Call after Registry::AddObserver(this). Reads the file, tells `listener` its foreign entries,
  // writes what is missing of ours (all on this thread), and goes on in the thread.
  // FailedPrecondition: a symlink, another user's file, no such folder. A write that fails
  // otherwise is logged, and tried again later.
  absl::Status Start(ForeignEntryListener& listener);
  // Ends the thread after a last pass; `listener` is not called any more. PublishNow and
  // UnpublishNow are errors from then on.
  void Stop();

  // Returns when the file is as the registry wants it, with the entry of `job_id` in it, or
  // without. The record's `published` decides (the journal sets it with kPublish and kUnpublish),
  // so call them between BeginStep and EndStep. PublishNow also writes back an entry that had
  // vanished; UnpublishNow of an entry that is not ours removes it, and again if a stale copy
  // brings it back within 24 h. Errors: as RegistryFile::Change; the write is tried again in the
  // background. FailedPrecondition: not started, or stopped.
  absl::Status PublishNow(std::string_view job_id);
  absl::Status UnpublishNow(std::string_view job_id);

  // Ports of an instance (empty: of this host) that entries of other tools hold.
  std::set<int> ForeignPorts(const std::string& instance_id = "") const;

  void OnChange(const ServiceRecord& record) override;

 private:
  class Worker;

  absl::Status WaitForPass() ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string path_;
  const Registry& registry_;
  const base::Clock& clock_;

  // What the worker and the callers share. Worker holds the rest.
  mutable base::Mutex mutex_;
  base::CondVar passed_;
  std::map<std::string, FileEntry, std::less<>> published_ ABSL_GUARDED_BY(mutex_);
  // Of `published_`: vanished, and lifecycle was asked.
  std::set<std::string, std::less<>> vanished_ ABSL_GUARDED_BY(mutex_);
  // Foreign entries that we took out, until when they must not come back.
  std::map<std::string, absl::Time, std::less<>> dropped_ ABSL_GUARDED_BY(mutex_);
  // By instance_id; "" is this host.
  std::map<std::string, std::set<int>> foreign_ports_ ABSL_GUARDED_BY(mutex_);
  bool running_ ABSL_GUARDED_BY(mutex_) = false;  // between Start and Stop
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;    // no pass comes any more
  // Requests are numbered; a pass does all that were made before it began.
  uint64_t requested_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t done_ ABSL_GUARDED_BY(mutex_) = 0;
  // How the last pass went. Not an absl::Status: its message is counted by references that
  // ThreadSanitizer cannot see (Debian's Abseil is not instrumented).
  absl::StatusCode pass_code_ ABSL_GUARDED_BY(mutex_) = absl::StatusCode::kOk;
  std::string pass_message_ ABSL_GUARDED_BY(mutex_);

  std::unique_ptr<Worker> worker_;
};

}  // namespace tao::registry
