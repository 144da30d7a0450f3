#include "server/platforms/lepton/lepton_platform.h"

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "server/base/log.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/lepton/lepton_life.h"
#include "server/platforms/lepton/lepton_render.h"

namespace tao::platforms {
namespace {

constexpr absl::Duration kAskTimeout = absl::Seconds(60);
// A create whose answer was lost may still be on its way when it is asked for.
constexpr int kLateRounds = 4;

constexpr std::string_view kUnreachedAdvice =
    ". Check the network and DNS of this host, which must reach Lepton without a proxy; "
    "LEPTON_API_BASE_URL and LEPTON_WORKSPACE_URL, if they are set; and --upstream-ca-file, if the "
    "address has a certificate of a private CA";

constexpr PlatformOption kOptions[] = {
    {"resource-shape",
     "shape of its node, e.g. gpu.2xh100-sxm; default: one with --gpu-count GPUs"},
    {"dedicated-node-group", "node group by name, or several with commas; default: any"},
    {"image-pull-secret", "log-in to the image's registry; default: tao-image-pull-secret"},
    {"mount-from", "what --mount takes its source from: node-nfs:VOLUME or node-local"},
};

std::optional<std::string> RealEnvironment(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

LeptonConfig Complete(LeptonConfig config) {
  if (!config.environment) config.environment = &RealEnvironment;
  return config;
}

std::string TextOf(const absl::Status& status) {
  return std::string(base::ToStd(status.message()));
}

std::string ValueOf(const std::map<std::string, std::string>& map, const std::string& name) {
  const auto found = map.find(name);
  return found == map.end() ? "" : found->second;
}

}  // namespace

std::string LeptonImagePullSecretOf(const std::string& image,
                                    const std::map<std::string, std::string>& options) {
  const std::string asked = ValueOf(options, "image-pull-secret");
  if (!asked.empty()) return asked;
  return image.starts_with("nvcr.io/") ? std::string(kLeptonImagePullSecret) : "";
}

LeptonPlatform::LeptonPlatform(io::HttpClient& http, LeptonConfig config)
    : http_(http), config_(Complete(std::move(config))) {}

const PlatformTraits& LeptonPlatform::traits() const {
  static constexpr PlatformTraits kTraits = {.name = "lepton",
                                             .execution_backend = "lepton",
                                             .own_network = true,
                                             .host_filesystem = false,
                                             .host_port = HostPort::kNone,
                                             .options = kOptions};
  return kTraits;
}

absl::StatusOr<LeptonApi> LeptonPlatform::Api() const {
  ASSIGN_OR_RETURN(LeptonWorkspace workspace, LeptonWorkspaceOf(config_.environment));
  return LeptonApi(http_, std::move(workspace), config_.retry);
}

absl::StatusOr<LeptonPlatform::Place> LeptonPlatform::PlaceOf(const PlatformJob& job) const {
  absl::StatusOr<LeptonApi> api = Api();
  if (!api.ok()) return absl::UnavailableError(TextOf(api.status()));
  base::Secret(ValueOf(job.driver_state, "token"));  // known to Redact from here on
  const std::string workspace = ValueOf(job.driver_state, "workspace");
  if (!workspace.empty() && workspace != api->workspace().url) {
    return absl::UnavailableError(absl::StrFormat(
        "service %s runs in the Lepton workspace %s, and this server is set to %s. Set "
        "LEPTON_WORKSPACE_ID as it was, and restart the server",
        job.job_id, workspace, api->workspace().url));
  }
  std::string name = ValueOf(job.driver_state, "name");
  if (name.empty()) {  // another tool's
    RETURN_IF_ERROR(CheckForeign(job));
    name = ValueOf(job.driver_state, "platform_job_id");
  }
  LeptonFamily family = LeptonFamily::kDeployments;
  const std::string said = ValueOf(job.driver_state, "api");
  if (said == ToString(LeptonFamily::kEndpoints)) family = LeptonFamily::kEndpoints;
  if (said.empty()) {
    ASSIGN_OR_RETURN(const LeptonWorkspaceFacts facts,
                     AskWorkspace(*api, config_.look_timeout, /*cancel=*/nullptr));
    family = facts.family;
  }
  return Place{.api = *std::move(api), .family = family, .name = std::move(name)};
}

absl::StatusOr<std::string> LeptonPlatform::Get(const LeptonApi& api, const std::string& what,
                                                const std::string& path, absl::Duration timeout,
                                                const base::CancelToken* cancel,
                                                LeptonSubject subject) const {
  LeptonCall call;
  call.path = path;
  call.timeout = timeout;
  call.cancel = cancel;
  absl::StatusOr<io::HttpResponse> answer = api.Call(call);
  if (!answer.ok()) {
    // The first that is asked is told what to do; after that it is a moment's trouble.
    const bool first = subject == LeptonSubject::kWorkspace && !absl::IsCancelled(answer.status());
    return absl::Status(answer.status().code(),
                        absl::StrFormat("%s: %s%s", what, base::ToStd(answer.status().message()),
                                        first ? kUnreachedAdvice : ""));
  }
  if (answer->status / 100 != 2) {
    return LeptonError(what, answer->status, answer->body, subject);
  }
  return std::move(answer->body);
}

absl::StatusOr<LeptonWorkspaceFacts> LeptonPlatform::AskWorkspace(
    const LeptonApi& api, absl::Duration timeout, const base::CancelToken* cancel) const {
  const std::string what = absl::StrFormat(
      "the Lepton workspace %s could not be asked",
      base::Quoted(api.workspace().id.empty() ? api.workspace().url : api.workspace().id));
  ASSIGN_OR_RETURN(const std::string body,
                   Get(api, what, "/workspace", timeout, cancel, LeptonSubject::kWorkspace));
  return ParseLeptonWorkspace(body);
}

absl::StatusOr<std::optional<LeptonEndpoint>> LeptonPlatform::Look(
    const Place& place, const base::CancelToken* cancel) const {
  const absl::StatusOr<std::string> body = Get(
      place.api, "Lepton could not be asked about endpoint " + place.name,
      LeptonPath(place.family, place.name), config_.look_timeout, cancel, LeptonSubject::kEndpoint);
  if (body.ok()) {
    ASSIGN_OR_RETURN(LeptonEndpoint endpoint, ParseLeptonEndpoint(*body));
    return std::optional<LeptonEndpoint>(std::move(endpoint));
  }
  if (!absl::IsNotFound(body.status())) return body.status();
  // A workspace that is gone, or an address that is not the API's, says 404 to everything.
  const absl::Status asked = AskWorkspace(place.api, config_.look_timeout, cancel).status();
  if (!asked.ok()) return absl::UnavailableError(TextOf(asked));
  return std::optional<LeptonEndpoint>();
}

absl::StatusOr<std::vector<LeptonReplica>> LeptonPlatform::AskReplicas(
    const Place& place, const base::CancelToken* cancel) const {
  ASSIGN_OR_RETURN(const std::string body,
                   Get(place.api, "the replicas of endpoint " + place.name + " could not be listed",
                       LeptonPath(place.family, place.name, "replicas"), config_.look_timeout,
                       cancel, LeptonSubject::kEndpoint));
  return ParseLeptonReplicas(body);
}

// For a better word only: without an answer the endpoint's own state is told.
std::vector<LeptonIssue> LeptonPlatform::AskIssues(const Place& place,
                                                   const base::CancelToken* cancel) const {
  if (place.family == LeptonFamily::kDeployments) {
    const absl::StatusOr<std::string> body =
        Get(place.api, "why", LeptonPath(place.family, place.name, "readiness"),
            config_.look_timeout, cancel);
    return body.ok() ? ParseLeptonReadiness(*body) : std::vector<LeptonIssue>();
  }
  std::vector<LeptonIssue> issues;
  const absl::StatusOr<std::vector<LeptonReplica>> replicas = AskReplicas(place, cancel);
  if (!replicas.ok()) return issues;
  for (const LeptonReplica& replica : *replicas) {
    if (replica.issue.has_value()) issues.push_back(*replica.issue);
  }
  return issues;
}

bool LeptonPlatform::HasReadyReplica(const Place& place,
                                     const std::vector<LeptonIssue>& issues) const {
  const absl::StatusOr<std::vector<LeptonReplica>> replicas = AskReplicas(place, nullptr);
  if (!replicas.ok()) return false;
  return std::any_of(replicas->begin(), replicas->end(), [&issues](const LeptonReplica& replica) {
    return std::none_of(issues.begin(), issues.end(), [&replica](const LeptonIssue& issue) {
      return issue.replica == replica.id;
    });
  });
}

std::optional<LeptonTermination> LeptonPlatform::AskTermination(const Place& place) const {
  if (place.family != LeptonFamily::kDeployments) return std::nullopt;
  const absl::StatusOr<std::string> body = Get(
      place.api, "why", LeptonPath(place.family, place.name, "termination"), config_.look_timeout);
  return body.ok() ? ParseLeptonTermination(*body) : std::nullopt;
}

std::string LeptonPlatform::WhyItEnded(const Place& place) const {
  if (const std::optional<LeptonTermination> last = AskTermination(place)) return last->text;
  const std::vector<LeptonIssue> issues = AskIssues(place, /*cancel=*/nullptr);
  if (issues.empty()) return "";
  const LeptonWait wait = DescribeWait({}, issues, absl::ZeroDuration());
  return wait.reason + ": " + wait.message;
}

absl::StatusOr<std::vector<std::string>> LeptonPlatform::GpuIds(const launch::GpuRequest& request) {
  if (!request.ids.empty()) {
    return absl::FailedPreconditionError(
        "lepton gives no GPU by its id: ask for a number of them (--gpu-count), or for a "
        "--resource-shape that has them");
  }
  if (request.mode == launch::GpuMode::kTegra) {
    return absl::FailedPreconditionError(
        "lepton has no Tegra GPU: leave out --gpu-mode, or start it with --platform local-docker");
  }
  return std::vector<std::string>();
}

void LeptonPlatform::Adopt(const PlatformJob& job) {
  base::Secret(ValueOf(job.driver_state, "token"));
}

absl::Status LeptonPlatform::CheckForeign(const PlatformJob& job) const {
  const std::string name = ValueOf(job.driver_state, "platform_job_id");
  if (IsLeptonName(name)) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrFormat(
      "service %s was started by another tool, and its registry entry has %s as platform_job_id, "
      "which is no name of an endpoint; delete it in the console, or with that tool",
      job.job_id, name.empty() ? "nothing" : base::Quoted(name)));
}

absl::StatusOr<PlatformState> LeptonPlatform::Observe(const PlatformJob& job) {
  const auto could_not_ask = [](const absl::Status& status) {
    return absl::UnavailableError(TextOf(status));
  };
  const absl::StatusOr<Place> place = PlaceOf(job);
  if (!place.ok()) return could_not_ask(place.status());
  const absl::StatusOr<std::optional<LeptonEndpoint>> endpoint = Look(*place, /*cancel=*/nullptr);
  if (!endpoint.ok()) return could_not_ask(endpoint.status());
  if (!endpoint->has_value()) {
    return PlatformState{.state = PlatformState::State::kGone,
                         .detail = "Lepton has no endpoint " + place->name + " any more",
                         .exit_code = {}};
  }
  ASSIGN_OR_RETURN(PlatformState state, ToPlatformState(**endpoint));
  const std::string known = ValueOf(job.driver_state, "url"), present = (*endpoint)->url;
  if (!known.empty() && !present.empty() && present != known) {
    const absl::Status usable = ParseLeptonUrl(present).status();
    if (usable.ok()) {
      state.moved["url"] = present;
    } else {
      base::Log(base::LogLevel::kWarning, "platforms",
                "Lepton gives the endpoint another address, which cannot be used",
                {{"job_id", job.job_id}, {"why", TextOf(usable)}});
    }
  }
  if (state.state == PlatformState::State::kFailed) {
    const std::optional<LeptonTermination> last = AskTermination(*place);
    const std::string why = last.has_value() ? last->text : WhyItEnded(*place);
    if (!why.empty()) state.detail += ": " + why;
    if (last.has_value()) state.exit_code = last->exit_code;
  } else if (state.state == PlatformState::State::kPending && job.driver_state.contains("url")) {
    // It was ready before, and runs on while another replica is made.
    const std::vector<LeptonIssue> issues = AskIssues(*place, /*cancel=*/nullptr);
    if (HasReadyReplica(*place, issues)) state.state = PlatformState::State::kRunning;
    const LeptonWait wait = DescribeWait(**endpoint, issues, absl::ZeroDuration());
    if (!issues.empty()) state.detail += ": " + wait.reason + ": " + wait.message;
  }
  return state;
}

Platform::Endpoint LeptonPlatform::EndpointOf(const PlatformJob& job) const {
  Endpoint endpoint;
  endpoint.platform_job_id = ValueOf(job.driver_state, "name");
  const std::string url = ValueOf(job.driver_state, "url");
  const absl::StatusOr<LeptonUrl> parsed = ParseLeptonUrl(url);
  if (!parsed.ok()) return endpoint;
  // Known to Redact by itself too: it may be told without the word before it.
  const base::Secret token(ValueOf(job.driver_state, "token"));
  const std::string authority =
      parsed->port == 443 ? parsed->host : absl::StrFormat("%s:%d", parsed->host, parsed->port);
  endpoint.host_url = "https://" + authority + parsed->path;
  endpoint.backend = {.scheme = "https",
                      .host = parsed->host,
                      .port = parsed->port,
                      .base_path = parsed->path,
                      .authority = authority,
                      .credential = base::Secret("Bearer " + token.Reveal())};
  return endpoint;
}

absl::Status LeptonPlatform::DeleteUserSecrets(const LeptonApi& api, const std::string& job_id,
                                               const base::CancelToken& cancel) const {
  ASSIGN_OR_RETURN(const std::string body,
                   Get(api, "the Lepton workspace's secrets could not be listed", "/usersecrets",
                       kAskTimeout, &cancel));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ParseLeptonSecretNames(body));
  const std::string suffix = LeptonSecretSuffix(job_id);
  for (const std::string& name : names) {
    if (!name.starts_with("TAO_") || !name.ends_with(suffix)) continue;
    LeptonCall call;
    call.method = "DELETE";
    call.path = "/usersecrets/" + name;
    call.cancel = &cancel;
    ASSIGN_OR_RETURN(const io::HttpResponse answer, api.Call(call));
    if (answer.status / 100 == 2 || answer.status == 404) continue;
    return LeptonError("Lepton's secret " + name + " could not be removed", answer.status,
                       answer.body);
  }
  return absl::OkStatus();
}

absl::Status LeptonPlatform::Delete(const Place& place, bool was_seen,
                                    const base::CancelToken& cancel) const {
  const absl::Time end = absl::Now() + config_.delete_timeout;
  const std::string what = absl::StrFormat("endpoint %s could not be removed", place.name);
  base::Backoff backoff(config_.poll);
  int late = 0;
  for (bool deleted = false; absl::Now() < end;) {
    if (!deleted) {
      LeptonCall call;
      call.method = "DELETE";
      call.path = LeptonPath(place.family, place.name);
      call.cancel = &cancel;
      ASSIGN_OR_RETURN(const io::HttpResponse answer, place.api.Call(call));
      if (answer.status / 100 != 2 && answer.status != 404 && answer.status != 409) {
        return LeptonError(what, answer.status, answer.body, LeptonSubject::kEndpoint);
      }
      deleted = true;
    }
    ASSIGN_OR_RETURN(const std::optional<LeptonEndpoint> left, Look(place, &cancel));
    if (!left.has_value()) {
      if (was_seen || ++late >= kLateRounds) return absl::OkStatus();
    } else {
      // Not on its way out: what a create that was under way has made since.
      deleted = LifeOf(*left) == LeptonLife::kEnding;
    }
    if (LeptonCancelledWithin(&cancel, backoff.Next())) return absl::CancelledError("cancelled");
  }
  return absl::UnavailableError(
      absl::StrFormat("Lepton is still deleting endpoint %s; it is asked again", place.name));
}

absl::Status LeptonPlatform::Stop(const PlatformJob& job, const StopOptions& options,
                                  StopSession& session) {
  const bool foreign = job.driver_state.contains("foreign");
  const bool nothing = !foreign && !job.driver_state.contains("name");
  RETURN_IF_ERROR(session.BeginStep(registry::Step::kEndJob));
  absl::StatusOr<Place> place = absl::UnavailableError("");
  if (!nothing) {  // else the start ended before it asked Lepton for anything
    place = PlaceOf(job);
    if (!place.ok()) return place.status();
    RETURN_IF_ERROR(
        Delete(*place, foreign || job.driver_state.contains("created"), session.cancel()));
  }
  RETURN_IF_ERROR(session.EndStep(registry::Step::kEndJob));

  RETURN_IF_ERROR(session.BeginStep(registry::Step::kRemoveSecret));
  // The pull secret is the workspace's, and stays.
  if (job.driver_state.contains("secrets")) {
    RETURN_IF_ERROR(DeleteUserSecrets(place->api, job.job_id, session.cancel()));
  } else if (foreign) {
    // There are some when it is ours, and its record was lost; else none has the name.
    static_cast<void>(DeleteUserSecrets(place->api, job.job_id, session.cancel()));
  }
  return session.EndStep(registry::Step::kRemoveSecret);
}

absl::StatusOr<std::vector<FoundJob>> LeptonPlatform::FindOurs() { return std::vector<FoundJob>(); }

}  // namespace tao::platforms
