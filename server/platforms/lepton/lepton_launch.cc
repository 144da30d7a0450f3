// LeptonPlatform's start: secrets, the endpoint, and the wait until it is Ready.

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>

#include <algorithm>
#include <utility>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/base/uuid.h"
#include "server/platforms/lepton/lepton_choice.h"
#include "server/platforms/lepton/lepton_life.h"
#include "server/platforms/lepton/lepton_platform.h"
#include "server/platforms/lepton/lepton_render.h"

namespace tao::platforms {
namespace {

constexpr absl::Duration kAskTimeout = absl::Seconds(60);
constexpr int kMaxCreateTries = 5;
// Just created, one server of theirs may not know yet what another one has said.
constexpr int kMaxMissing = 5;
// The word for people and programs when it is not Lepton's.
constexpr std::string_view kNotAnswering = "not_answering";

std::string TextOf(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

std::string ValueOf(const std::map<std::string, std::string>& map, const std::string& name) {
  const auto found = map.find(name);
  return found == map.end() ? "" : found->second;
}

// 256 random bits, less the twelve that are fixed in two UUIDs.
std::string RandomToken() {
  std::string token = base::NewUuid() + base::NewUuid();
  token.erase(std::remove(token.begin(), token.end(), '-'), token.end());
  return token;
}

absl::Status CancelledStart(const std::string& name) {
  return absl::CancelledError(absl::StrFormat("the start of endpoint %s was cancelled", name));
}

// As the end of a start: what is wrong with the workspace is no failed pull of an image.
absl::Status AsLaunchError(const absl::Status& status) {
  if (absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status) ||
      absl::IsNotFound(status)) {
    return absl::FailedPreconditionError(TextOf(status));
  }
  return status;
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> LeptonPlatform::NewState(
    const launch::LaunchPlan& plan, LaunchSession& session) const {
  ASSIGN_OR_RETURN(const LeptonApi api, Api());
  ASSIGN_OR_RETURN(const LeptonWorkspaceFacts facts,
                   AskWorkspace(api, kAskTimeout, &session.cancel()));
  return std::map<std::string, std::string>{{"workspace", api.workspace().url},
                                            {"api", std::string(ToString(facts.family))},
                                            {"name", LeptonName(plan.job_id)},
                                            {"token", RandomToken()}};
}

absl::StatusOr<std::vector<std::string>> LeptonPlatform::NodeGroupIds(
    const LeptonApi& api, const std::string& names, absl::Duration timeout,
    const base::CancelToken* cancel) const {
  if (names.empty()) return std::vector<std::string>();
  ASSIGN_OR_RETURN(const std::string body,
                   Get(api, "the Lepton workspace's node groups could not be listed",
                       "/dedicated-node-groups", timeout, cancel));
  ASSIGN_OR_RETURN(const std::vector<LeptonNodeGroup> groups, ParseLeptonNodeGroups(body));
  return LeptonNodeGroupIds(names, groups);
}

absl::StatusOr<std::string> LeptonPlatform::ShapeOn(
    const LeptonApi& api, const std::vector<std::string>& node_group_ids, const std::string& asked,
    const launch::GpuRequest& gpus, absl::Duration timeout, const base::CancelToken* cancel) const {
  ASSIGN_OR_RETURN(const std::string body,
                   Get(api, "the Lepton workspace's resource shapes could not be listed",
                       LeptonShapesPath(node_group_ids), timeout, cancel));
  ASSIGN_OR_RETURN(const std::vector<LeptonShape> shapes, ParseLeptonShapes(body));
  return ChooseLeptonShape(asked, gpus, shapes);
}

absl::StatusOr<std::vector<std::string>> LeptonPlatform::ImagePullSecrets(
    const LeptonApi& api, absl::Duration timeout, const base::CancelToken* cancel) const {
  ASSIGN_OR_RETURN(const std::string body,
                   Get(api, "the Lepton workspace's image pull secrets could not be listed",
                       "/imagepullsecrets", timeout, cancel));
  return ParseLeptonSecretNames(body);
}

absl::Status LeptonPlatform::EnsureImagePullSecret(const LeptonApi& api, const std::string& name,
                                                   LaunchSession& session) const {
  ASSIGN_OR_RETURN(const std::vector<std::string> names,
                   ImagePullSecrets(api, kAskTimeout, &session.cancel()));
  if (std::find(names.begin(), names.end(), name) != names.end()) return absl::OkStatus();
  const std::string key = config_.environment("NGC_KEY").value_or("");
  if (key.empty()) return NoImagePullSecret(name);
  LeptonCall call;
  call.method = "POST";
  call.path = "/imagepullsecrets";
  call.body = RenderLeptonImagePullSecret(name, base::Secret(key));
  call.cancel = &session.cancel();
  // Asked twice, it says that it is there already.
  ASSIGN_OR_RETURN(const io::HttpResponse answer, api.Call(call));
  if (answer.status / 100 == 2 || answer.status == 409) return absl::OkStatus();
  return LeptonError("image pull secret " + name + " could not be made", answer.status, answer.body,
                     LeptonSubject::kImagePullSecret);
}

absl::Status LeptonPlatform::MakeUserSecrets(
    const LeptonApi& api, const std::string& job_id,
    const std::vector<std::pair<std::string, base::Secret>>& secrets,
    LaunchSession& session) const {
  // What a daemon that died has made may have another value. What Lepton does with a name that is
  // there is nowhere said.
  RETURN_IF_ERROR(DeleteUserSecrets(api, job_id, session.cancel()));
  LeptonCall call;
  call.method = "POST";
  call.path = "/usersecrets";
  call.body = RenderLeptonUserSecrets(secrets);
  // Not cancelled on its way: whether it was done would be unknown.
  call.try_timeout = call.timeout = config_.create_timeout;
  call.repeatable = false;
  const absl::StatusOr<io::HttpResponse> answer = api.Call(call);
  if (answer.ok() && answer->status / 100 == 2) return absl::OkStatus();
  if (answer.ok() && answer->status / 100 != 5) {
    return LeptonError("the service's secrets could not be made", answer->status, answer->body);
  }
  // The answer was lost, or may be of something between: the list says what was done.
  ASSIGN_OR_RETURN(const std::string body,
                   Get(api, "the Lepton workspace's secrets could not be listed", "/usersecrets",
                       kAskTimeout, &session.cancel()));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ParseLeptonSecretNames(body));
  const bool all = std::all_of(secrets.begin(), secrets.end(), [&names](const auto& secret) {
    return std::find(names.begin(), names.end(), secret.first) != names.end();
  });
  if (all) return absl::OkStatus();
  if (!answer.ok()) return answer.status();
  return LeptonError("the service's secrets could not be made", answer->status, answer->body);
}

absl::Status LeptonPlatform::Submit(const Place& place, const std::string& body,
                                    LaunchSession& session) const {
  base::Backoff backoff(config_.retry);
  const std::string what = absl::StrFormat("endpoint %s could not be created", place.name);
  absl::Status failed;
  for (int tries = 0; tries < kMaxCreateTries; ++tries) {
    // Not cancelled on its way: whether it was done would be unknown.
    LeptonCall call;
    call.method = "POST";
    call.path = absl::StrFormat("/%s", ToString(place.family));
    call.body = body;
    call.try_timeout = call.timeout = config_.create_timeout;
    call.repeatable = false;
    const absl::StatusOr<io::HttpResponse> answer = place.api.Call(call);
    if (answer.ok() && answer->status / 100 == 2) return absl::OkStatus();
    failed = answer.ok() ? LeptonError(what, answer->status, answer->body, LeptonSubject::kEndpoint)
                         : absl::UnavailableError(what + ": " + TextOf(answer.status()));
    const bool known = answer.ok() && answer->status != 409 && answer->status / 100 != 5;
    if (known) return failed;
    // Done or not? A second one would be refused, or be another one.
    ASSIGN_OR_RETURN(const std::optional<LeptonEndpoint> made,
                     LookPatiently(place, /*patient=*/true, session));
    if (made.has_value()) return absl::OkStatus();
    if (LeptonCancelledWithin(&session.cancel(), backoff.Next())) return CancelledStart(place.name);
  }
  return failed;
}

bool LeptonPlatform::HasSecrets(const launch::LaunchPlan& plan) const {
  return std::any_of(
      plan.secret_names.begin(), plan.secret_names.end(),
      [this](const std::string& name) { return !config_.environment(name).value_or("").empty(); });
}

absl::Status LeptonPlatform::Create(const Place& place, const launch::LaunchPlan& plan,
                                    const base::Secret& token, LaunchSession& session) const {
  ASSIGN_OR_RETURN(std::vector<std::string> node_group_ids,
                   NodeGroupIds(place.api, ValueOf(plan.platform_options, "dedicated-node-group"),
                                kAskTimeout, &session.cancel()));
  ASSIGN_OR_RETURN(
      std::string resource_shape,
      ShapeOn(place.api, node_group_ids, ValueOf(plan.platform_options, "resource-shape"),
              plan.gpus, kAskTimeout, &session.cancel()));
  LeptonEndpointPlan endpoint{
      .name = place.name,
      .resource_shape = std::move(resource_shape),
      .node_group_ids = std::move(node_group_ids),
      .image_pull_secret = LeptonImagePullSecretOf(plan.image, plan.platform_options),
      .secret_env = {},
      .token = token,
      .mount_from = ValueOf(plan.platform_options, "mount-from")};
  std::vector<std::pair<std::string, base::Secret>> secrets;
  for (const std::string& env_name : plan.secret_names) {
    const std::string value = config_.environment(env_name).value_or("");
    if (value.empty()) continue;
    secrets.emplace_back(LeptonSecretName(env_name, plan.job_id), base::Secret(value));
    endpoint.secret_env.emplace_back(env_name, secrets.back().first);
  }
  if (!secrets.empty() || !endpoint.image_pull_secret.empty()) {
    RETURN_IF_ERROR(session.BeginStep(registry::Step::kCreateSecret));
    if (!endpoint.image_pull_secret.empty()) {
      RETURN_IF_ERROR(EnsureImagePullSecret(place.api, endpoint.image_pull_secret, session));
    }
    if (!secrets.empty()) {
      RETURN_IF_ERROR(MakeUserSecrets(place.api, plan.job_id, secrets, session));
    }
    RETURN_IF_ERROR(session.EndStep(registry::Step::kCreateSecret));
  }
  RETURN_IF_ERROR(session.BeginStep(registry::Step::kSubmitJob));
  RETURN_IF_ERROR(Submit(place, RenderLeptonEndpoint(plan, endpoint, place.family), session));
  return session.EndStep(registry::Step::kSubmitJob);
}

absl::StatusOr<std::optional<LeptonEndpoint>> LeptonPlatform::LookPatiently(
    const Place& place, bool patient, LaunchSession& session) const {
  base::Backoff backoff(config_.poll);
  while (true) {
    absl::StatusOr<std::optional<LeptonEndpoint>> endpoint = Look(place, &session.cancel());
    if (session.cancel().cancelled()) return CancelledStart(place.name);
    if (endpoint.ok()) {
      const bool deleting =
          endpoint->has_value() && ((*endpoint)->deleted || (*endpoint)->state == "Deleting");
      if (!deleting) return endpoint;
      session.ReportPending("Deleting", "Lepton still deletes what an earlier try has left");
    } else {
      if (!patient) return endpoint.status();
      session.ReportPending(kNotAnswering, TextOf(endpoint.status()));
    }
    if (LeptonCancelledWithin(&session.cancel(), backoff.Next())) return CancelledStart(place.name);
  }
}

absl::StatusOr<LeptonEndpoint> LeptonPlatform::WaitReady(const Place& place,
                                                         LaunchSession& session) const {
  const absl::Time begin = absl::Now();
  base::Backoff backoff(config_.poll);
  int missing = 0;
  while (true) {
    const absl::StatusOr<std::optional<LeptonEndpoint>> seen = Look(place, &session.cancel());
    if (session.cancel().cancelled()) return CancelledStart(place.name);
    if (!seen.ok()) {  // whatever it is, it says nothing of the endpoint
      session.ReportPending(kNotAnswering, TextOf(seen.status()));
    } else if (!seen->has_value()) {
      if (++missing >= kMaxMissing) {
        return absl::FailedPreconditionError(absl::StrFormat(
            "endpoint %s is gone before it was ready: somebody deleted it, in the console or by "
            "another tool. Start the service again",
            place.name));
      }
    } else {
      missing = 0;
      const LeptonEndpoint& endpoint = **seen;
      const LeptonLife life = LifeOf(endpoint);
      if (life == LeptonLife::kReady && !endpoint.url.empty()) return endpoint;
      if (life == LeptonLife::kReady) {
        session.ReportPending("Ready", "it runs; Lepton has not given it an address yet");
      } else if (life == LeptonLife::kError || life == LeptonLife::kEnding) {
        // With an address it can be watched, and its end is then told as every other one, with the
        // last lines of its log.
        if (!endpoint.url.empty()) return endpoint;
        const std::string why = WhyItEnded(place);
        return absl::FailedPreconditionError(
            absl::StrFormat("endpoint %s did not start: Lepton says %s%s%s", place.name,
                            base::Quoted(endpoint.state), why.empty() ? "" : ": ", why));
      } else {
        const LeptonWait wait =
            DescribeWait(endpoint, AskIssues(place, &session.cancel()), absl::Now() - begin);
        session.ReportPending(wait.reason, wait.message);
      }
    }
    if (LeptonCancelledWithin(&session.cancel(), backoff.Next())) return CancelledStart(place.name);
  }
}

absl::StatusOr<LeptonPlatform::Place> LeptonPlatform::PlacePatiently(const PlatformJob& job,
                                                                     LaunchSession& session) const {
  base::Backoff backoff(config_.poll);
  while (true) {
    absl::StatusOr<Place> place = PlaceOf(job);
    if (place.ok()) return place;
    session.ReportPending(kNotAnswering, TextOf(place.status()));
    if (LeptonCancelledWithin(&session.cancel(), backoff.Next())) return CancelledStart(job.job_id);
  }
}

absl::StatusOr<PlatformJob> LeptonPlatform::Launch(const launch::LaunchPlan& plan,
                                                   LaunchSession& session) {
  std::map<std::string, std::string> state = session.SavedDriverState();
  const bool resumed = state.contains("token");
  if (!resumed) {
    absl::StatusOr<std::map<std::string, std::string>> fresh = NewState(plan, session);
    if (!fresh.ok()) return AsLaunchError(fresh.status());
    state = *std::move(fresh);
  }
  const base::Secret token(ValueOf(state, "token"));
  PlatformJob job{.job_id = plan.job_id, .driver_state = std::move(state)};
  ASSIGN_OR_RETURN(const Place place, PlacePatiently(job, session));
  const absl::StatusOr<std::optional<LeptonEndpoint>> there =
      LookPatiently(place, /*patient=*/resumed, session);
  if (!there.ok()) return AsLaunchError(there.status());
  if (!resumed) {
    // Before the name is saved: what is saved is removed by Stop.
    if (there->has_value()) {
      return absl::AlreadyExistsError(
          absl::StrFormat("the Lepton workspace has an endpoint %s that this server did not start. "
                          "See what it is, and delete it in the console",
                          place.name));
    }
  }
  if (HasSecrets(plan)) job.driver_state["secrets"] = "1";
  RETURN_IF_ERROR(session.SaveDriverState(job.driver_state));

  absl::Status failed;
  if (!there->has_value()) failed = Create(place, plan, token, session);
  if (failed.ok()) {
    job.driver_state["created"] = "1";
    failed = session.SaveDriverState(job.driver_state);
  }
  if (failed.ok()) {
    absl::StatusOr<LeptonEndpoint> ready = WaitReady(place, session);
    if (ready.ok()) {
      const absl::StatusOr<LeptonUrl> url = ParseLeptonUrl(ready->url);
      if (url.ok()) {
        job.driver_state["url"] = ready->url;
        RETURN_IF_ERROR(session.SaveDriverState(job.driver_state));
        return job;
      }
      failed = absl::FailedPreconditionError(absl::StrFormat(
          "the address of endpoint %s: %s", place.name, base::ToStd(url.status().message())));
    } else {
      failed = ready.status();
    }
  }
  // What is begun stays as it is: the Stop that follows removes it, or the next daemon goes on.
  if (absl::IsCancelled(failed)) return failed;
  failed = AsLaunchError(failed);
  // After an answer no create is on its way any more.
  absl::Status removed =
      Delete(place, job.driver_state.contains("created") || !absl::IsUnavailable(failed),
             session.cancel());
  if (removed.ok() && job.driver_state.contains("secrets")) {
    removed = DeleteUserSecrets(place.api, plan.job_id, session.cancel());
  }
  if (removed.ok()) removed = session.SaveDriverState({});  // nothing is left to be stopped
  if (removed.ok()) return failed;
  return absl::Status(
      failed.code(),
      absl::StrFormat("%s. What is left of it could not be removed: %s",
                      base::ToStd(failed.message()), base::ToStd(removed.message())));
}

}  // namespace tao::platforms
