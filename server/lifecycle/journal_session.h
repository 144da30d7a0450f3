#pragma once

// The driver's way to the journal, the leases and the record, for one operation of one service.
// Used by the operation's thread alone.

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/cancel.h"
#include "server/lifecycle/parts.h"
#include "server/platforms/platform.h"
#include "server/registry/step.h"

namespace tao::lifecycle {

class JournalSession : public platforms::LaunchSession, public platforms::StopSession {
 public:
  // `parts` and `cancel` outlive it. `record` is what is carried out, as it is now.
  JournalSession(Parts& parts, registry::Operation operation, const registry::ServiceRecord& record,
                 const base::CancelToken& cancel);

  absl::Status BeginStep(registry::Step step) override;
  absl::Status EndStep(registry::Step step) override;
  absl::Status SaveDriverState(const std::map<std::string, std::string>& state) override;
  std::map<std::string, std::string> SavedDriverState() const override;
  void ReportProgress(const registry::Progress& progress) override;
  void ReportPending(std::string_view reason, std::string_view message) override;
  int host_port() const override { return host_port_; }
  absl::StatusOr<int> NextPort() override;
  absl::StatusOr<int> InstancePort(const std::string& instance_id, bool next) override;
  const std::vector<std::string>& gpu_ids() const override { return gpu_ids_; }
  const base::CancelToken& cancel() const override { return cancel_; }

 private:
  Parts& parts_;
  const registry::Operation operation_;
  const std::string job_id_;
  const std::vector<std::string> gpu_ids_;
  const PortWish port_wish_;
  const base::CancelToken& cancel_;
  int host_port_;
  int instance_port_;
  bool pending_ = false;  // was reported by this session
  // The platform said that somebody else has them.
  std::set<int> refused_ports_;
  std::set<int> refused_instance_ports_;
};

}  // namespace tao::lifecycle
