// The last part of a KubernetesLaunch: how this host reaches the service that runs there; and how a
// KubernetesPlatform follows it when that changes.

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>

#include <utility>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/connect_probe.h"
#include "server/platforms/kubernetes/kubernetes_launch.h"

namespace tao::platforms {
namespace {

constexpr absl::Duration kProbeTimeout = absl::Seconds(2);
constexpr absl::Duration kNodePortLimit = absl::Seconds(30);
constexpr absl::Duration kForwardTimeout = absl::Seconds(30);

}  // namespace

absl::StatusOr<std::string> KubernetesPlatform::AddressOfNode(
    const KubernetesTarget& target, const PodView& pod, const base::CancelToken* cancel) const {
  const absl::StatusOr<std::string> output =
      kubectl_.Ask("the node could not be read", target,
                   {.arguments = {"get", "node", pod.node, "-o", "json"}, .cancel = cancel});
  if (absl::IsCancelled(output.status())) return output.status();
  if (output.ok()) {
    const absl::StatusOr<std::vector<NodeView>> nodes = ParseNodes(*output);
    if (nodes.ok() && !nodes->empty() && !nodes->front().address.empty()) {
      return nodes->front().address;
    }
  }
  return pod.node_address;  // an inner one; the node may have another outside
}

std::map<std::string, std::string> KubernetesPlatform::MovedOf(const PlatformJob& job,
                                                               const KubernetesTarget& target,
                                                               const JobAndPods& objects) const {
  const auto value = [&job](const char* name) {
    const auto found = job.driver_state.find(name);
    return found == job.driver_state.end() ? "" : found->second;
  };
  const std::string of = value(kStateOf);
  if (value(kStateReached) != kReachedByAddress || of.empty() || !objects.service.has_value()) {
    return {};
  }
  const ServiceView& service = *objects.service;
  std::map<std::string, std::string> present;
  if (of == kOfBalancer) {
    // One that is taken away comes back as a rule; then it is another one, or not.
    if (service.address.empty()) return {};
    present = {{kStateHost, service.address}, {kStatePort, std::to_string(service.port)}};
  } else {
    const PodView* const pod = MainPod(objects);
    if (pod == nullptr || pod->node.empty() || service.node_port == 0) return {};
    present = {{kStatePort, std::to_string(service.node_port)}};
    if (pod->node != of) {  // drained: its Job has made another one
      const absl::StatusOr<std::string> address = AddressOfNode(target, *pod, /*cancel=*/nullptr);
      if (!address.ok() || address->empty()) return {};
      present[kStateOf] = pod->node;
      present[kStateHost] = *address;
    }
  }
  std::erase_if(present,
                [&](const auto& each) { return value(each.first.c_str()) == each.second; });
  return present;
}

absl::StatusOr<ServiceView> KubernetesLaunch::LookAtService() const {
  ASSIGN_OR_RETURN(const std::string output,
                   platform_.kubectl_.Ask(
                       absl::StrFormat("service %s: its Service could not be read", plan_.job_id),
                       target_, Call({"get", "service", Name(), "-o", "json"})));
  return ParseService(output);
}

absl::StatusOr<std::string> KubernetesLaunch::WaitForAddress(bool must_answer) {
  std::string address;
  while (true) {
    const absl::StatusOr<ServiceView> service = LookAtService();
    if (!service.ok() && !CouldNotTell(service.status())) return service.status();
    if (service.ok()) address = service->address;
    // A name may need minutes until it is known. Whoever refuses is there, and its server comes.
    if (!address.empty() &&
        ProbeConnect(address, options_.service_port, kProbeTimeout) != Reach::kNone) {
      return address;
    }
    if (absl::Now() - service_since_ >= options_.address_wait) break;
    session_.ReportPending(
        "WaitingForAddress",
        address.empty()
            ? absl::StrFormat("the pod runs; waiting for the address of LoadBalancer %s", Name())
            : absl::StrFormat("the pod runs; its address %s does not answer yet", address));
    RETURN_IF_ERROR(Wait());
  }
  return must_answer ? std::string() : address;
}

absl::StatusOr<std::map<std::string, std::string>> KubernetesLaunch::FindNodePort(
    bool must_answer) {
  const std::map<std::string, std::string> none;
  ASSIGN_OR_RETURN(const ServiceView service, LookAtService());
  if (service.node_port == 0) return none;
  ASSIGN_OR_RETURN(const JobAndPods objects, Look());
  const PodView* const pod = MainPod(objects);
  if (pod == nullptr) return none;
  ASSIGN_OR_RETURN(const std::string address,
                   platform_.AddressOfNode(target_, *pod, &session_.cancel()));
  if (address.empty()) return none;
  const absl::Time end = absl::Now() + kNodePortLimit;
  while (true) {
    const Reach reach = ProbeConnect(address, service.node_port, kProbeTimeout);
    const bool over = reach == Reach::kNone || absl::Now() >= end;
    if (reach == Reach::kConnected || (over && !must_answer)) {
      return std::map<std::string, std::string>{{kStateOf, pod->node},
                                                {kStateHost, address},
                                                {kStatePort, std::to_string(service.node_port)}};
    }
    if (over) return none;  // a firewall may refuse as well
    session_.ReportPending("WaitingForAddress",
                           absl::StrFormat("the pod runs; port %d of node %s does not answer yet",
                                           service.node_port, address));
    RETURN_IF_ERROR(Wait());
  }
}

absl::StatusOr<PlatformJob> KubernetesLaunch::Reached(std::map<std::string, std::string> place) {
  place[kStateReached] = kReachedByAddress;
  RETURN_IF_ERROR(SaveState(std::move(place)));
  return Job();
}

absl::StatusOr<PlatformJob> KubernetesLaunch::ReachIt() {
  const ServiceType type = options_.service_type;
  const bool automatic = type == ServiceType::kAuto;
  if (automatic || type == ServiceType::kLoadBalancer) {
    ASSIGN_OR_RETURN(const std::string address, WaitForAddress(/*must_answer=*/automatic));
    if (!address.empty()) {
      return Reached({{kStateOf, kOfBalancer},
                      {kStateHost, address},
                      {kStatePort, std::to_string(options_.service_port)}});
    }
  }
  if (automatic || type == ServiceType::kNodePort) {
    ASSIGN_OR_RETURN(auto place, FindNodePort(/*must_answer=*/automatic));
    if (!place.empty()) return Reached(std::move(place));
  }
  if (automatic || type == ServiceType::kClusterIp) return Forward();
  const std::string events = platform_.LastEventsOf(target_, Name());
  return absl::FailedPreconditionError(absl::StrFormat(
      "service %s: Service %s of type %s got no address within %s%s%s. Wait longer with "
      "--address-wait, or start it with --service-type auto or ClusterIP",
      plan_.job_id, Name(), ToString(type), absl::FormatDuration(options_.address_wait),
      events.empty() ? "" : ": ", events));
}

absl::StatusOr<PlatformJob> KubernetesLaunch::Forward() {
  RETURN_IF_ERROR(SaveState({{kStateReached, kReachedByForward}}));
  RETURN_IF_ERROR(session_.BeginStep(registry::Step::kOpenTunnel));
  session_.ReportPending("OpeningPortForward",
                         "the pod runs; kubectl port-forward is being opened");
  while (true) {
    const absl::Status opened = platform_.tunnels_.Open(
        plan_.job_id, platform_.TunnelOf(target_, plan_.job_id, session_.host_port()),
        kForwardTimeout, session_.cancel());
    if (opened.ok()) break;
    if (absl::IsResourceExhausted(opened)) {
      RETURN_IF_ERROR(session_.NextPort().status());
      continue;
    }
    // When the pod has ended meanwhile, that is what there is to tell.
    const absl::StatusOr<JobAndPods> objects = Look();
    if (objects.ok()) {
      const PodView* const pod = MainPod(*objects);
      if (pod != nullptr && pod->exit_code.has_value()) break;
    }
    return opened;
  }
  RETURN_IF_ERROR(session_.EndStep(registry::Step::kOpenTunnel));
  return Job();
}

}  // namespace tao::platforms
