#pragma once

// The lepton platform: a service is an endpoint (deployment) of a DGX Cloud Lepton workspace, over
// REST. Its callers show a token of its own, random, that driver_state alone keeps.
//
// driver_state: "workspace" (its url), "api" (LeptonFamily), "name" and "token", durable before the
// endpoint exists; "secrets" when it has some of its own; "created" when it was seen; "url" from
// the first Ready on.

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/base/backoff.h"
#include "server/catalog/catalog.h"
#include "server/io/http_client.h"
#include "server/platforms/lepton/lepton_api.h"
#include "server/platforms/lepton/lepton_parse.h"
#include "server/platforms/platform.h"

namespace tao::platforms {

struct LeptonConfig {
  catalog::EnvironmentLookup environment;  // of the daemon; empty: its real one
  // Between two tries of one call.
  base::BackoffOptions retry = {.first = absl::Milliseconds(500), .longest = absl::Seconds(8)};
  // Between two looks at an endpoint that starts or is being deleted.
  base::BackoffOptions poll = {.first = absl::Seconds(1), .longest = absl::Seconds(5)};
  absl::Duration look_timeout = absl::Seconds(10);    // at an endpoint, tries again included
  absl::Duration create_timeout = absl::Seconds(20);  // of a create, which a Stop waits for
  absl::Duration delete_timeout = absl::Seconds(60);  // then Stop is asked for again
  // A stream of logs without news for so long has shown all of the past.
  absl::Duration log_silence = absl::Seconds(1);
};

class LeptonPlatform final : public Platform {
 public:
  // `http` outlives it, and every call.
  LeptonPlatform(io::HttpClient& http, LeptonConfig config);

  const PlatformTraits& traits() const override;
  absl::Status CheckOptions(const std::map<std::string, std::string>& options) const override;
  std::vector<CheckItem> Check(const CheckRequest& request, absl::Duration deadline) override;
  // None: the resource shape has them.
  absl::StatusOr<std::vector<std::string>> GpuIds(const launch::GpuRequest& request) override;
  // Returns when the endpoint is Ready and has its address. What cannot be asked while the endpoint
  // may exist is waited for (a token that expired says nothing of the service). Cancelled, it
  // leaves the endpoint to the Stop that follows, or to the next daemon, which goes on waiting.
  absl::StatusOr<PlatformJob> Launch(const launch::LaunchPlan& plan,
                                     LaunchSession& session) override;
  // Makes the token known to base::Redact.
  void Adopt(const PlatformJob& job) override;
  // Tells an address that Lepton has given it since (PlatformState::moved).
  absl::StatusOr<PlatformState> Observe(const PlatformJob& job) override;
  // platform_job_id, which is the endpoint's name.
  absl::Status CheckForeign(const PlatformJob& job) const override;
  Endpoint EndpointOf(const PlatformJob& job) const override;
  absl::Status Stop(const PlatformJob& job, const StopOptions& options,
                    StopSession& session) override;
  absl::Status StreamLogs(const PlatformJob& job, const LogOptions& options, LogSink& sink,
                          const base::CancelToken& cancel) override;
  // None: an endpoint has no labels, and its name does not say which daemon it belongs to. What is
  // ours is what the journal names.
  absl::StatusOr<std::vector<FoundJob>> FindOurs() override;

 private:
  // A job's endpoint, and how it is asked.
  struct Place {
    LeptonApi api;
    LeptonFamily family;
    std::string name;
  };
  absl::StatusOr<LeptonApi> Api() const;
  // Unavailable when the daemon has another workspace now, or none: it cannot be asked.
  absl::StatusOr<Place> PlaceOf(const PlatformJob& job) const;
  absl::StatusOr<LeptonWorkspaceFacts> AskWorkspace(const LeptonApi& api, absl::Duration timeout,
                                                    const base::CancelToken* cancel) const;
  // The answer's body, or LeptonError.
  absl::StatusOr<std::string> Get(const LeptonApi& api, const std::string& what,
                                  const std::string& path, absl::Duration timeout,
                                  const base::CancelToken* cancel = nullptr,
                                  LeptonSubject subject = LeptonSubject::kOther) const;
  // nullopt: Lepton says that it is not there.
  absl::StatusOr<std::optional<LeptonEndpoint>> Look(const Place& place,
                                                     const base::CancelToken* cancel) const;
  absl::StatusOr<std::vector<LeptonReplica>> AskReplicas(const Place& place,
                                                         const base::CancelToken* cancel) const;
  // Whether one of the replicas has none of `issues`.
  bool HasReadyReplica(const Place& place, const std::vector<LeptonIssue>& issues) const;
  std::vector<LeptonIssue> AskIssues(const Place& place, const base::CancelToken* cancel) const;
  std::optional<LeptonTermination> AskTermination(const Place& place) const;
  // As a text to go on with; empty: none is told.
  std::string WhyItEnded(const Place& place) const;

  // Those of `names`, which commas separate; none for none.
  absl::StatusOr<std::vector<std::string>> NodeGroupIds(const LeptonApi& api,
                                                        const std::string& names,
                                                        absl::Duration timeout,
                                                        const base::CancelToken* cancel) const;
  // The shape `asked`, or one for `gpus`, among those of the node groups.
  absl::StatusOr<std::string> ShapeOn(const LeptonApi& api,
                                      const std::vector<std::string>& node_group_ids,
                                      const std::string& asked, const launch::GpuRequest& gpus,
                                      absl::Duration timeout,
                                      const base::CancelToken* cancel) const;
  absl::StatusOr<std::vector<std::string>> ImagePullSecrets(const LeptonApi& api,
                                                            absl::Duration timeout,
                                                            const base::CancelToken* cancel) const;
  CheckItem ImagePullSecretItem(const LeptonApi& api, const CheckRequest& request,
                                absl::Duration timeout) const;

  absl::StatusOr<std::map<std::string, std::string>> NewState(const launch::LaunchPlan& plan,
                                                              LaunchSession& session) const;
  // Whether the daemon's environment has one of those that the container gets.
  bool HasSecrets(const launch::LaunchPlan& plan) const;
  absl::Status Create(const Place& place, const launch::LaunchPlan& plan, const base::Secret& token,
                      LaunchSession& session) const;
  absl::Status EnsureImagePullSecret(const LeptonApi& api, const std::string& name,
                                     LaunchSession& session) const;
  absl::Status MakeUserSecrets(const LeptonApi& api, const std::string& job_id,
                               const std::vector<std::pair<std::string, base::Secret>>& secrets,
                               LaunchSession& session) const;
  absl::StatusOr<Place> PlacePatiently(const PlatformJob& job, LaunchSession& session) const;
  // Posts it, and finds out what became of it when the answer was lost.
  absl::Status Submit(const Place& place, const std::string& body, LaunchSession& session) const;
  // Until it is Ready and has its address.
  absl::StatusOr<LeptonEndpoint> WaitReady(const Place& place, LaunchSession& session) const;
  // nullopt: there is none, so it can be created.
  absl::StatusOr<std::optional<LeptonEndpoint>> LookPatiently(const Place& place, bool patient,
                                                              LaunchSession& session) const;
  class ReplicaStream;
  absl::Status QueryLogs(const Place& place, int tail_lines, LogSink& sink,
                         const base::CancelToken& cancel) const;
  // `was_seen`: no create is on its way any more.
  absl::Status Delete(const Place& place, bool was_seen, const base::CancelToken& cancel) const;
  absl::Status DeleteUserSecrets(const LeptonApi& api, const std::string& job_id,
                                 const base::CancelToken& cancel) const;

  io::HttpClient& http_;
  const LeptonConfig config_;
};

// The name of the pull secret that a start of `plan` refers to; empty: its image needs none.
std::string LeptonImagePullSecretOf(const std::string& image,
                                    const std::map<std::string, std::string>& options);

absl::Status NoImagePullSecret(const std::string& name);

}  // namespace tao::platforms
