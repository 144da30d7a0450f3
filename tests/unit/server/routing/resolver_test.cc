#include "server/routing/resolver.h"

#include <absl/strings/str_format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/errors.h"
#include "server/base/strings.h"

namespace tao::routing {
namespace {

using testing::HasSubstr;
using testing::Not;
using Kind = SelectorTerm::Kind;

SelectorTerm JobId(std::string value) {
  return {Kind::kJobId, std::move(value), "header X-TAO-Job-ID"};
}
SelectorTerm Arch(std::string value) { return {Kind::kNetworkArch, std::move(value), "path"}; }
SelectorTerm Model(std::string value) { return {Kind::kModel, std::move(value), "model"}; }

Service Of(std::string job_id, std::string arch, Phase phase,
           std::vector<std::string> served_names = {}) {
  Service service{.job_id = std::move(job_id), .network_arch = std::move(arch)};
  service.phase = phase;
  service.served_names = std::move(served_names);
  return service;
}

// The job_id, or the token of the error.
std::string Outcome(const absl::StatusOr<const Service*>& result) {
  if (result.ok()) return (*result)->job_id;
  const std::optional<base::ErrorToken> token = base::TokenOf(result.status());
  return token.has_value() ? std::string(base::RuleOf(*token).name) : result.status().ToString();
}

struct ResolveCase {
  std::string name;
  std::vector<SelectorTerm> terms;
  std::string want;  // a job_id or a token
};

// Named by the arch's first letters: what the phases of its services are.
std::shared_ptr<const RouteTable> Services() {
  return RouteTable::Build({
      Of("ready-1", "two", Phase::kReady, {"/models/one", "org/both"}),
      Of("ready-2", "two", Phase::kReady, {"/models/two", "org/both"}),
      Of("only", "single", Phase::kReady, {"org/only", "odd"}),
      Of("starting", "starting-arch", Phase::kStarting),
      Of("unreachable", "unreachable-arch", Phase::kUnreachable),
      Of("mixed-failed", "mixed", Phase::kFailed, {"org/mixed"}),
      Of("mixed-ready", "mixed", Phase::kLoading, {"org/mixed"}),
      Of("mixed-draining", "mixed", Phase::kDraining, {"org/mixed"}),
      Of("failed-old", "failed", Phase::kFailed),
      Of("failed-new", "failed", Phase::kFailed, {"org/failed"}),
      Of("launching", "launching-arch", Phase::kLaunching, {"org/launching"}),
      Of("late-failed", "late", Phase::kFailed),
      Of("late-pending", "late", Phase::kPending),
      Of("draining", "draining-arch", Phase::kDraining),
      // Names that mean several things at once.
      Of("single-namesake", "odd", Phase::kReady, {"only", "single"}),
  });
}

class ResolverTest : public testing::TestWithParam<ResolveCase> {};

TEST_P(ResolverTest, PicksOneServiceOrSaysWhyNot) {
  const auto table = Services();
  EXPECT_EQ(Outcome(Resolve(*table, Selector{GetParam().terms})), GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(
    Rules, ResolverTest,
    testing::ValuesIn<ResolveCase>({
        // job_id: that service in whatever phase.
        {"JobId", {JobId("ready-2")}, "ready-2"},
        {"JobIdOfAFailedOne", {JobId("mixed-failed")}, "mixed-failed"},
        {"JobIdOfALaunchingOne", {JobId("launching")}, "launching"},
        {"JobIdOfADrainingOne", {JobId("draining")}, "draining"},
        {"UnknownJobId", {JobId("nope")}, "service_not_found"},
        {"EmptyJobId", {JobId("")}, "service_not_found"},
        {"AnArchIsNoJobId", {JobId("single")}, "service_not_found"},
        {"LatestNeverRoutes", {JobId("latest")}, "service_not_found"},
        {"LatestNeverRoutesAsModel", {Model("latest")}, "model_not_found"},
        // network_arch: exactly one candidate.
        {"UniqueArch", {Arch("single")}, "only"},
        {"TwoOfOneArch", {Arch("two")}, "ambiguous_service"},
        {"UnknownArch", {Arch("nope")}, "service_not_found"},
        {"AJobIdIsNoArch", {Arch("only")}, "service_not_found"},
        {"AServedNameIsNoArch", {Arch("org/only")}, "service_not_found"},
        {"StartingIsACandidate", {Arch("starting-arch")}, "starting"},
        {"UnreachableIsACandidate", {Arch("unreachable-arch")}, "unreachable"},
        {"OneCandidateBesideOthers", {Arch("mixed")}, "mixed-ready"},
        {"LaunchingIsNoCandidate", {Arch("launching-arch")}, "service_not_found"},
        {"DrainingIsNoCandidate", {Arch("draining-arch")}, "service_not_found"},
        {"FailedOnesAreAllThereIs", {Arch("failed")}, "failed-new"},
        {"FailedAndPending", {Arch("late")}, "service_not_found"},
        // model: a job_id, an arch, a served name, the first that there is.
        {"ModelIsAJobId", {Model("ready-2")}, "ready-2"},
        {"ModelIsAJobIdOfAFailedOne", {Model("failed-old")}, "failed-old"},
        {"ModelIsAnArch", {Model("starting-arch")}, "starting"},
        {"ModelIsAnAmbiguousArch", {Model("two")}, "ambiguous_service"},
        {"ModelIsAModelPath", {Model("/models/two")}, "ready-2"},
        {"ModelIsAServedName", {Model("org/only")}, "only"},
        {"ModelIsAnAmbiguousServedName", {Model("org/both")}, "ambiguous_service"},
        {"ServedNameWithOneCandidate", {Model("org/mixed")}, "mixed-ready"},
        {"ServedNameOfAFailedOne", {Model("org/failed")}, "failed-new"},
        {"ServedNameOfALaunchingOne", {Model("org/launching")}, "service_not_found"},
        {"ModelJobIdBeforeServedName", {Model("only")}, "only"},
        {"ModelArchBeforeServedName", {Model("odd")}, "single-namesake"},
        {"ModelIsUnknown", {Model("gpt-4")}, "model_not_found"},
        {"ModelIsEmpty", {Model("")}, "model_not_found"},
        // Several terms: all must hold.
        {"JobIdAndItsArch", {JobId("ready-1"), Arch("two")}, "ready-1"},
        {"JobIdAndItsModel", {JobId("ready-1"), Model("org/both")}, "ready-1"},
        {"JobIdAndItselfAsModel", {JobId("ready-1"), Model("ready-1")}, "ready-1"},
        {"JobIdAndModelThatNamesNothing", {JobId("ready-1"), Model("gpt-4")}, "ready-1"},
        {"ArchAndModelThatNamesNothing", {Arch("single"), Model("gpt-4")}, "only"},
        {"AmbiguousArchAndModelThatNamesNothing", {Arch("two"), Model("x")}, "ambiguous_service"},
        {"ArchAndModelTellOneService", {Arch("two"), Model("/models/one")}, "ready-1"},
        {"ArchAndModelTellTwoServices", {Arch("two"), Model("org/both")}, "ambiguous_service"},
        {"ArchAndModelJobId", {Arch("two"), Model("ready-2")}, "ready-2"},
        {"JobIdOfAnotherArch", {JobId("ready-2"), Arch("single")}, "selector_conflict"},
        {"JobIdAndUnknownArch", {JobId("ready-2"), Arch("nope")}, "selector_conflict"},
        {"ModelJobIdOfAnotherArch", {Arch("single"), Model("ready-2")}, "selector_conflict"},
        {"JobIdAndModelOfAnother", {JobId("ready-1"), Model("/models/two")}, "selector_conflict"},
        {"JobIdAndAnotherAsModel", {JobId("ready-1"), Model("ready-2")}, "selector_conflict"},
        {"JobIdAndAnotherArchAsModel", {JobId("ready-1"), Model("single")}, "selector_conflict"},
        {"ArchAndModelOfAnother", {Arch("single"), Model("org/both")}, "selector_conflict"},
        {"ArchAndAnotherArchAsModel", {Arch("single"), Model("two")}, "selector_conflict"},
        {"UnknownJobIdAndArch", {JobId("nope"), Arch("single")}, "service_not_found"},
        {"UnknownJobIdAndModelJobId", {JobId("nope"), Model("only")}, "service_not_found"},
        {"UnknownArchAndServedName", {Arch("nope"), Model("org/only")}, "service_not_found"},
        // One kind twice.
        {"SameJobIdTwice", {JobId("only"), JobId("only")}, "only"},
        {"TwoJobIds", {JobId("only"), JobId("ready-1")}, "selector_conflict"},
        {"TwoJobIdsOneUnknown", {JobId("only"), JobId("nope")}, "selector_conflict"},
        {"SameArchTwice", {Arch("single"), Arch("single")}, "only"},
        {"TwoArchs", {Arch("single"), Arch("two")}, "selector_conflict"},
        {"TwoModels", {Model("only"), Model("org/only")}, "selector_conflict"},
        // Nothing said.
        {"NothingNamedAmongMany", {}, "ambiguous_service"},
    }),
    [](const auto& row) { return row.param.name; });

struct AloneCase {
  std::string name;
  std::vector<Phase> phases;  // of the services that there are: job-0, job-1, ...
  std::string want;
};

class NothingSelectedTest : public testing::TestWithParam<AloneCase> {};

TEST_P(NothingSelectedTest, MeansTheOnlyCandidate) {
  std::vector<Service> services;
  for (const Phase phase : GetParam().phases) {
    services.push_back(Of(absl::StrFormat("job-%d", services.size()), "arch", phase));
  }
  EXPECT_EQ(Outcome(Resolve(*RouteTable::Build(services), {})), GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(
    Rules, NothingSelectedTest,
    testing::ValuesIn<AloneCase>({
        {"NoService", {}, "service_not_found"},
        {"OneReady", {Phase::kReady}, "job-0"},
        {"OneLoading", {Phase::kLoading}, "job-0"},
        {"OneReadyBesideOthers", {Phase::kFailed, Phase::kReady, Phase::kLaunching}, "job-1"},
        {"OneReadyOneLoading", {Phase::kReady, Phase::kLoading}, "ambiguous_service"},
        {"OneLaunching", {Phase::kLaunching}, "service_not_found"},
        {"OneFailed", {Phase::kFailed}, "job-0"},
        {"FailedAndDraining", {Phase::kFailed, Phase::kDraining}, "service_not_found"},
        {"OnlyAStoppedOne", {Phase::kStopped}, "service_not_found"},
    }),
    [](const auto& row) { return row.param.name; });

std::string MessageOf(const RouteTable& table, std::vector<SelectorTerm> terms) {
  return std::string(base::ToStd(Resolve(table, Selector{std::move(terms)}).status().message()));
}

TEST(ResolverErrorTest, AmbiguityListsTheCandidatesAndSaysWhatToDo) {
  std::vector<Service> services;
  for (int i = 0; i < 12; ++i) {
    Service service = Of(absl::StrFormat("job-%02d", i), "cosmos-rl", Phase::kReady);
    service.started_at = absl::FromUnixSeconds(1'795'425'966 + i);
    service.host_url = absl::StrFormat("http://localhost:%d", 8080 + i);
    services.push_back(service);
  }
  const absl::Status status =
      Resolve(*RouteTable::Build(services), Selector{{Arch("cosmos-rl")}}).status();
  const std::string message(base::ToStd(status.message()));
  EXPECT_THAT(message, HasSubstr("12 services match network_arch=\"cosmos-rl\" (path)"));
  EXPECT_THAT(message, HasSubstr("header X-TAO-Job-ID, path /services/{job_id}/v1, or "
                                 "\"model\": \"<job_id>\""));
  EXPECT_THAT(message, HasSubstr("job-00 (cosmos-rl, READY, started 2026-11-23T09:26:06Z, "
                                 "http://localhost:8080)"));
  EXPECT_THAT(message, HasSubstr("job-09"));
  EXPECT_THAT(message, Not(HasSubstr("job-10")));
  EXPECT_THAT(message, HasSubstr("and 2 more of 12"));
  EXPECT_LT(message.size(), 2000u);  // a gRPC status stays under 4 KiB

  const base::ErrorDetails details = base::DetailsOf(status);
  EXPECT_EQ(details.candidate_count, 12);
  EXPECT_EQ(details.param, "path");
  ASSERT_EQ(details.candidates.size(), 10u);
  EXPECT_EQ(details.candidates[1].job_id, "job-01");
  EXPECT_EQ(details.candidates[1].network_arch, "cosmos-rl");
  EXPECT_EQ(details.candidates[1].started_at, "2026-11-23T09:26:07Z");
  EXPECT_EQ(details.candidates[1].host_url, "http://localhost:8081");
}

TEST(ResolverErrorTest, MessagesSayWhatToDoNext) {
  const auto table = Services();
  const auto empty = RouteTable::Build({});
  EXPECT_THAT(MessageOf(*empty, {}), HasSubstr("start a service first"));
  EXPECT_THAT(MessageOf(*empty, {Model("x")}), HasSubstr("start a service first"));
  EXPECT_THAT(MessageOf(*table, {Model("gpt-4")}),
              testing::AllOf(HasSubstr("\"gpt-4\""), HasSubstr("GET /v1/models")));
  EXPECT_THAT(MessageOf(*table, {JobId("nope")}),
              testing::AllOf(HasSubstr("\"nope\""), HasSubstr("tao-inference list")));
  EXPECT_THAT(MessageOf(*table, {JobId("ready-1"), Model("single")}),
              testing::AllOf(HasSubstr("model=\"single\""), HasSubstr("ready-1 (two")));
  EXPECT_THAT(MessageOf(*table, {Arch("launching-arch")}),
              testing::AllOf(HasSubstr("launching (launching-arch, LAUNCHING"), HasSubstr("wait")));
}

// What a stranger wrote is quoted and cut, in the selector and in an entry of another tool.
TEST(ResolverErrorTest, LongNamesAreCut) {
  const std::string name(10'000, 'n');
  std::vector<Service> services = {Of("job-1", name, Phase::kReady),
                                   Of("job-2", name, Phase::kReady)};
  services[0].host_url = "http://" + name;
  const auto table = RouteTable::Build(services);
  for (const SelectorTerm& term : {JobId(name), Arch(name), Model(name)}) {
    EXPECT_LT(MessageOf(*table, {term}).size(), 1500u);
  }
}

TEST(ResolverTest, PointsIntoTheTable) {
  const auto table = Services();
  EXPECT_EQ(*Resolve(*table, Selector{{JobId("only")}}), table->Find("only"));
}

}  // namespace
}  // namespace tao::routing
