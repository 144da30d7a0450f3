#include "server/platforms/kubernetes/kubernetes_options.h"

#include <gmock/gmock.h>

#include "server/base/errors.h"
#include "server/base/strings.h"

namespace tao::platforms {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

std::optional<std::string> Nothing(const std::string&) { return std::nullopt; }

TEST(KubernetesOptionsTest, WithoutAnyTheClusterDecides) {
  const auto options = ParseKubernetesOptions({}, Nothing);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->context, "");
  EXPECT_EQ(options->name_space, "default");
  EXPECT_EQ(options->service_type, ServiceType::kAuto);
  EXPECT_EQ(options->address_wait, absl::Minutes(4));
  EXPECT_EQ(options->queue_limit, absl::InfiniteDuration());
}

TEST(KubernetesOptionsTest, ARequestGoesBeforeTheOperatorsEnvironment) {
  const auto environment = [](const std::string& name) -> std::optional<std::string> {
    if (name == "TAO_K8S_CONTEXT") return "operators";
    if (name == "TAO_K8S_NAMESPACE") return "team-a";
    return std::nullopt;
  };
  const auto options = ParseKubernetesOptions({{"context", "mine"}}, environment);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->context, "mine");
  EXPECT_EQ(options->name_space, "team-a");
}

TEST(KubernetesOptionsTest, ListsAreSplit) {
  const auto options =
      ParseKubernetesOptions({{"node-selector", "nvidia.com/gpu.product=H100,zone=a"},
                              {"toleration", "dedicated=gpu:NoSchedule,spot"},
                              {"volume-claim", "models:/models:ro,cache:/cache"},
                              {"service-type", "clusterip"},
                              {"address-wait", "90"},
                              {"trouble-grace", "2m"}},
                             Nothing);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->node_selector.at("nvidia.com/gpu.product"), "H100");
  ASSERT_EQ(options->tolerations.size(), 2u);
  EXPECT_EQ(options->tolerations[0].value, "gpu");
  EXPECT_EQ(options->tolerations[0].effect, "NoSchedule");
  EXPECT_EQ(options->tolerations[1].key, "spot");
  ASSERT_EQ(options->volume_claims.size(), 2u);
  EXPECT_TRUE(options->volume_claims[0].read_only);
  EXPECT_EQ(options->volume_claims[1].destination, "/cache");
  EXPECT_EQ(options->service_type, ServiceType::kClusterIp);
  EXPECT_EQ(options->address_wait, absl::Seconds(90));
  EXPECT_EQ(options->trouble_grace, absl::Minutes(2));
}

struct Wrong {
  const char* name;
  const char* value;
  const char* advice;
};

TEST(KubernetesOptionsTest, WhatCannotBeIsRefusedWithWhatToWrite) {
  constexpr Wrong kWrong[] = {
      {"context", "--kubeconfig=/x", "get-contexts"},
      {"namespace", "Team_A", "lower-case"},
      {"namespace", "a.b", "lower-case"},
      {"service-type", "ExternalName", "LoadBalancer"},
      {"service-port", "0", "1 to 65535"},
      {"service-port", "eighty", "1 to 65535"},
      {"address-wait", "soon", "4m"},
      {"trouble-grace", "-5s", "negative"},
      {"node-selector", "zone", "KEY=VALUE"},
      {"node-selector", "zone=a b", "KEY=VALUE"},
      {"toleration", "dedicated:Never", "NoSchedule"},
      {"toleration", "dedicated:", "NoSchedule"},
      {"volume-claim", "models", "CLAIM:/path"},
      {"volume-claim", "models:/", "CLAIM:/path"},
      {"volume-claim", "models:relative", "CLAIM:/path"},
      {"runtime-class", "NVIDIA", "lower-case"},
      {"image-pull-secret", "-x", "lower-case"},
      {"image-pull-policy", "always", "IfNotPresent"},
      {"gpu-resource", "nvidia.com/", "nvidia.com/mig"},
  };
  for (const Wrong& wrong : kWrong) {
    const absl::Status status =
        ParseKubernetesOptions({{wrong.name, wrong.value}}, Nothing).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << wrong.name << "=" << wrong.value;
    EXPECT_THAT(std::string(base::ToStd(status.message())), HasSubstr(wrong.advice));
    const auto details = base::DetailsOf(status);
    ASSERT_EQ(details.violations.size(), 1u) << wrong.name;
    EXPECT_EQ(details.violations[0].field, std::string("platform_options.") + wrong.name);
  }
}

TEST(KubernetesOptionsTest, AllFindingsAreToldAtOnceTheEnvironmentsToo) {
  const auto environment = [](const std::string& name) -> std::optional<std::string> {
    return name == "TAO_K8S_NAMESPACE" ? std::optional<std::string>("Bad!") : std::nullopt;
  };
  const absl::Status status =
      ParseKubernetesOptions({{"service-port", "x"}, {"service-type", "y"}}, environment).status();
  EXPECT_EQ(base::DetailsOf(status).violations.size(), 3u);
  EXPECT_THAT(std::string(base::ToStd(status.message())), HasSubstr("TAO_K8S_NAMESPACE"));
}

TEST(KubernetesOptionsTest, EveryOptionThatIsListedIsReadAndExplained) {
  for (const PlatformOption& option : KubernetesOptionList()) {
    EXPECT_THAT(option.help, HasSubstr("default: ")) << option.name;
    // A value that none of them takes: a control character.
    const absl::Status status =
        ParseKubernetesOptions({{std::string(option.name), "\x01"}}, Nothing).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << option.name;
  }
}

}  // namespace
}  // namespace tao::platforms
