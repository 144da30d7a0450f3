// BrevPlatform's check: the program, its login, the instance, and what runs on it.

#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/time/clock.h>
#include <unistd.h>

#include <algorithm>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/brev/brev_platform.h"
#include "server/platforms/preflight.h"

namespace tao::platforms {
namespace {

absl::Status CheckUse(const BrevInstance& instance) {
  const std::string name = base::Quoted(instance.name);
  switch (UseOf(instance)) {
    case InstanceUse::kUsable:
    case InstanceUse::kComing:
      return absl::OkStatus();
    case InstanceUse::kStopped:
      return absl::FailedPreconditionError(
          absl::StrFormat("instance %s is %s. It is not started for you, since it costs money from "
                          "then on: brev start %s",
                          name, instance.status, instance.name));
    case InstanceUse::kFailed:
    case InstanceUse::kDeleting:
      return absl::FailedPreconditionError(
          absl::StrFormat("instance %s is %s; name another one", name, Describe(instance)));
    case InstanceUse::kUnknown:
      break;
  }
  return absl::UnavailableError(
      absl::StrFormat("brev says that instance %s is %s, which this server does not know", name,
                      base::Quoted(instance.status)));
}

std::string Option(const CheckRequest& request, const std::string& name) {
  const auto found = request.options.find(name);
  return found == request.options.end() ? "" : found->second;
}

// Whether an image needs a log-in, and whether an instance has it already, is known there alone.
CheckItem RegistryItem(const CheckRequest& request, bool has_ngc_key) {
  if (request.plan != nullptr && !request.plan->image.starts_with("nvcr.io/")) {
    return ItemOf("registry", absl::OkStatus(), "the image is not on nvcr.io");
  }
  if (has_ngc_key) return ItemOf("registry", absl::OkStatus(), "NGC_KEY is set");
  return {"registry", CheckItem::Outcome::kWarning,
          "without NGC_KEY an image of nvcr.io that needs a log-in can only be used where the "
          "instance has it: export NGC_KEY=... in the server's environment"};
}

}  // namespace

std::vector<CheckItem> BrevPlatform::Check(const CheckRequest& request, absl::Duration deadline) {
  const absl::Time end = absl::Now() + deadline;
  const auto left = [end] { return std::max(end - absl::Now(), absl::Milliseconds(1)); };
  std::vector<CheckItem> items;
  // False ends the checks: what comes after would only say the same again.
  const auto add = [&items](std::string_view name, const absl::Status& status,
                            std::string_view found) {
    items.push_back(ItemOf(name, status, found));
    return status.ok();
  };
  const absl::StatusOr<std::string> version = cli_.Version(left());
  if (!add("client", version.status(), version.ok() ? *version : "")) return items;
  if (access(config_.pod_token.c_str(), F_OK) == 0) {
    items.push_back(
        {"token", CheckItem::Outcome::kWarning,
         absl::StrFormat("brev takes %s, which every pod of Kubernetes has, for its own "
                         "token, and ignores its login. Run the server's pod with "
                         "automountServiceAccountToken: false",
                         config_.pod_token)});
  }
  const absl::StatusOr<std::vector<BrevInstance>> all = cli_.List(left(), nullptr);
  if (!add("login", all.status(),
           all.ok() ? absl::StrFormat("brev lists %d instance%s", all->size(),
                                      all->size() == 1 ? "" : "s")
                    : "")) {
    return items;
  }
  items.push_back(RegistryItem(request, !config_.environment("NGC_KEY").value_or("").empty()));
  const std::string wanted = Option(request, "instance-id");
  if (wanted.empty()) {
    CheckNewInstance(request, left(), items);
    return items;
  }
  const absl::StatusOr<std::optional<BrevInstance>> found = FindInstance(*all, wanted);
  absl::Status usable = found.status();
  if (found.ok()) {
    usable = found->has_value()
                 ? CheckUse(**found)
                 : absl::FailedPreconditionError(absl::StrFormat(
                       "brev lists no instance with the id or name %s. See brev ls, and which "
                       "organisation is active",
                       base::Quoted(wanted)));
  }
  const bool there = add("instance", usable,
                         usable.ok() ? absl::StrFormat("%s (%s) is %s", (*found)->name,
                                                       (*found)->id, Describe(**found))
                                     : "");
  // One that is coming answers later, and a start waits for it.
  if (there && UseOf(**found) == InstanceUse::kUsable) {
    CheckInstance((*found)->name, request, end, items);
  }
  return items;
}

void BrevPlatform::CheckNewInstance(const CheckRequest& request, absl::Duration limit,
                                    std::vector<CheckItem>& items) const {
  const absl::Time end = absl::Now() + limit;
  const absl::StatusOr<std::set<std::string>> flags = cli_.CreateFlags(limit, nullptr);
  absl::Status possible = flags.status();
  std::string types = Option(request, "instance-type");
  if (flags.ok()) {
    possible = RenderCreate({.name = "tao",
                             .types = types,
                             .workspace_group = Option(request, "workspace-group"),
                             .cloud_credential = Option(request, "cloud-credential")},
                            *flags)
                   .status();
  }
  if (possible.ok() && types.empty()) {
    const absl::StatusOr<std::vector<BrevType>> offered =
        cli_.Types(std::max(end - absl::Now(), absl::Milliseconds(1)), nullptr);
    const int gpus = request.gpus.mode == launch::GpuMode::kNone ? 0 : request.gpus.count;
    const absl::StatusOr<std::vector<std::string>> chosen =
        offered.ok() ? ChooseTypes(*offered, gpus, 1)
                     : absl::StatusOr<std::vector<std::string>>(offered.status());
    possible = chosen.status();
    if (chosen.ok()) types = chosen->front();
  }
  items.push_back(ItemOf("instance", possible,
                         absl::StrFormat("one of type %s is made, and deleted by stop", types)));
}

void BrevPlatform::CheckInstance(const std::string& name, const CheckRequest& request,
                                 absl::Time end, std::vector<CheckItem>& items) const {
  const launch::GpuRequest& gpus = request.gpus;
  const auto left = [end] { return std::max(end - absl::Now(), absl::Milliseconds(1)); };
  const BrevInstanceShell shell = ShellOf(name);
  absl::Status reached = cli_.Refresh(left(), nullptr);
  std::string address;
  if (reached.ok()) {
    const absl::StatusOr<std::optional<SshAlias>> alias = AliasOf(name, left(), nullptr);
    reached = alias.status();
    if (alias.ok() && !alias->has_value()) {
      reached = absl::UnavailableError(
          absl::StrFormat("brev refresh has written no entry for instance %s to %s yet",
                          base::Quoted(name), ssh_config_));
    }
    if (reached.ok()) address = (*alias)->proxied ? "through brev's proxy" : (*alias)->hostname;
  }
  if (reached.ok()) reached = shell.Answers(left(), nullptr);
  items.push_back(ItemOf("ssh", reached, address));
  if (!reached.ok()) return;

  const absl::StatusOr<std::string> docker = shell.DockerVersion(left());
  items.push_back(ItemOf("docker", docker.status(), docker.ok() ? "is version " + *docker : ""));
  if (const std::string network = Option(request, "network"); docker.ok() && !network.empty()) {
    items.push_back(ItemOf("network", shell.CheckNetwork(network, left()), "is " + network));
  }
  if (gpus.mode == launch::GpuMode::kNone) {
    items.push_back({"gpu", CheckItem::Outcome::kOk, "none is asked for"});
    return;
  }
  HostGpus host;
  absl::StatusOr<std::vector<HostGpu>> there = shell.Gpus(left(), nullptr);
  absl::Status enough = there.status();
  if (there.ok()) {
    host.gpus = *std::move(there);
    enough = ChooseGpuIds(gpus, host).status();
    if (!enough.ok()) {
      enough = absl::Status(enough.code(), absl::StrFormat("instance %s: %s", base::Quoted(name),
                                                           base::ToStd(enough.message())));
    } else if (host.gpus.size() < static_cast<size_t>(gpus.count)) {
      enough = absl::FailedPreconditionError(absl::StrFormat(
          "instance %s has %d GPUs, and %d are asked for. Ask for fewer (--gpu-count), or name "
          "another instance",
          base::Quoted(name), host.gpus.size(), gpus.count));
    }
  }
  items.push_back(ItemOf("gpu", enough, absl::StrFormat("%d on the instance", host.gpus.size())));
}

}  // namespace tao::platforms
