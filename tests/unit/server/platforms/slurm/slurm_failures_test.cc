// Each text of ssh, Slurm, Pyxis and enroot that is known, as it was seen, and what is made of it.

#include <gmock/gmock.h>

#include <algorithm>

#include "server/base/strings.h"
#include "server/platforms/slurm/slurm_parse.h"

namespace tao::platforms {
namespace {

using Code = absl::StatusCode;
using testing::HasSubstr;

struct FailureCase {
  const char* words;
  Code code;
  const char* advice;
};

class SlurmFailureTest : public testing::TestWithParam<FailureCase> {};

TEST_P(SlurmFailureTest, BecomesAnErrorWithItsAdvice) {
  const FailureCase& row = GetParam();
  const absl::Status status = SlurmError("it failed", 1, row.words);
  EXPECT_EQ(status.code(), row.code) << status;
  EXPECT_THAT(std::string(base::ToStd(status.message())), HasSubstr(row.advice)) << row.words;
}

const std::vector<FailureCase>& Cases() {
  static const auto* const cases = new std::vector<FailureCase>({
      {"me@login: Permission denied (publickey,gssapi-with-mic).", Code::kFailedPrecondition,
       "SSH_KEY_PATH"},
      {"Host key verification failed.", Code::kFailedPrecondition, "add it by hand"},
      {"@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @", Code::kFailedPrecondition,
       "has changed"},
      {"ssh: Could not resolve hostname nowhere: Name or service not known",
       Code::kFailedPrecondition, "SLURM_HOSTNAME"},
      {"ssh: connect to host login port 22: Connection refused", Code::kUnavailable, "VPN"},
      {"ssh: connect to host login port 22: Connection timed out", Code::kUnavailable, "VPN"},
      {"sbatch: error: Batch job submission failed: Invalid account or account/partition "
       "combination specified",
       Code::kFailedPrecondition, "SLURM_ACCOUNT"},
      {"sbatch: error: invalid partition specified: nosuch\n"
       "sbatch: error: Batch job submission failed: Invalid partition name specified",
       Code::kFailedPrecondition, "SLURM_PARTITION"},
      {"sbatch: error: Batch job submission failed: Required partition not available (inactive "
       "or drain)",
       Code::kFailedPrecondition, "SLURM_PARTITION"},
      {"allocation failure: Partition in DOWN state", Code::kFailedPrecondition, "sinfo -s"},
      {"sbatch: error: Batch job submission failed: Requested node configuration is not "
       "available",
       Code::kFailedPrecondition, "--gpu-count"},
      {"sbatch: error: Invalid generic resource (gres) specification", Code::kFailedPrecondition,
       "gpu-type=TYPE"},
      {"sbatch: error: Batch job submission failed: Requested time limit is invalid (missing or "
       "exceeds some limit)",
       Code::kFailedPrecondition, "--time"},
      {"sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job "
       "submit limit, user's size and/or time limits)",
       Code::kResourceExhausted, "fewer GPUs"},
      {"sbatch: error: Batch job submission failed: Invalid qos specification",
       Code::kFailedPrecondition, "--qos"},
      {"scancel: error: Kill job error on job id 7: Access/permission denied",
       Code::kFailedPrecondition, "SLURM_USER"},
      {"sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect "
       "failure)",
       Code::kUnavailable, "looked for by its name"},
      {"sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
       Code::kUnavailable, "looked for by its name"},
      {"sbatch: error: This does not look like a batch script.", Code::kInternal, "report"},
      {"sbatch: error: Batch script contains DOS line breaks (\\r\\n)", Code::kInternal, "report"},
      {"pyxis:     [ERROR] URL https://nvcr.io/proxy_auth returned error code: 401 Unauthorized",
       Code::kPermissionDenied, "authn.nvidia.com"},
      {"pyxis:     [ERROR] Could not process JSON input", Code::kPermissionDenied,
       "authn.nvidia.com"},
      {"pyxis:     [ERROR] Invalid image reference: docker://NVCR.IO/x", Code::kFailedPrecondition,
       "lower case"},
      {"slurmstepd: error: pyxis: --container-mounts: source path does not exist: /data",
       Code::kFailedPrecondition, "shared storage"},
      {"slurmstepd: error: pyxis: container start failed with error code: 1",
       Code::kFailedPrecondition, "enroot"},
      {"slurmstepd: error: pyxis: container exited too soon", Code::kFailedPrecondition, "enroot"},
      {"pyxis:     [ERROR] Command not found: nvidia-container-cli", Code::kFailedPrecondition,
       "node"},
      {"nvidia-container-cli.real: Kernel module nvidia_uvm is not loaded",
       Code::kFailedPrecondition, "node"},
      {"srun: unrecognized option '--container-image=x'", Code::kFailedPrecondition,
       "has no Pyxis"},
      {"sbatch: unrecognized option '--container-image=x'", Code::kFailedPrecondition,
       "has no Pyxis"},
      {"bind [127.0.0.1]:8081: Address already in use", Code::kResourceExhausted, "port"},
      {"channel_setup_fwd_listener_tcpip: cannot listen to port: 8081", Code::kResourceExhausted,
       "port"},
      {"channel 2: open failed: connect failed: Connection refused", Code::kUnavailable,
       "does not listen yet"},
      {"channel 2: open failed: administratively prohibited: open failed",
       Code::kFailedPrecondition, "AllowTcpForwarding"},
      {"slurmstepd: error: pyxis:     [ERROR] Kernel module nvidia_uvm is not loaded",
       Code::kFailedPrecondition, "node"},
      {"slurmstepd: error: pyxis:     [ERROR] Invalid image format: /images/x.sqsh",
       Code::kFailedPrecondition, "enroot import"},
      {"slurmstepd: error: pyxis: failed to import docker image", Code::kFailedPrecondition,
       "could not fetch the image"},
      {"slurmstepd: error: pyxis: failed to create container filesystem for image: /x.sqsh\n"
       "slurmstepd: error: pyxis:     [ERROR] No such file or directory: /x.sqsh",
       Code::kFailedPrecondition, "does it exist there"},
      {"sbatch: error: invalid partition specified: nosuch", Code::kFailedPrecondition,
       "SLURM_PARTITION"},
      {"sbatch: error: Batch job submission failed: More processors requested than permitted",
       Code::kFailedPrecondition, "--cpus"},
      {"sbatch: error: Memory specification can not be satisfied", Code::kFailedPrecondition,
       "--mem"},
      {"sbatch: error: Batch job submission failed: User's group not permitted to use this "
       "partition",
       Code::kFailedPrecondition, "SLURM_PARTITION"},
      {"sbatch: unrecognized option '--no-such'", Code::kFailedPrecondition, "20.11 or newer"},
      {"squeue: error: If munged is up, restart with --num-threads=10\n"
       "slurm_load_jobs error: Protocol authentication error",
       Code::kUnavailable, "munge"},
      {"sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
       Code::kUnavailable, "busy"},
      {"scancel: error: Kill job error on job id 7: Job/step already completing or completed",
       Code::kFailedPrecondition, "already completing"},
      {"slurm_load_jobs error: Invalid job id specified", Code::kNotFound, "Invalid job id"},
      {"Slurm accounting storage is disabled", Code::kFailedPrecondition, "is disabled"},
      {"something that nobody has seen", Code::kFailedPrecondition, "nobody has seen"},
      {"", Code::kFailedPrecondition, "it said nothing"},
  });
  return *cases;
}

INSTANTIATE_TEST_SUITE_P(Texts, SlurmFailureTest, testing::ValuesIn(Cases()));

// A rule that no text reaches is hidden by those before it, or was never seen.
TEST(SlurmFailureRulesTest, EachHasItsText) {
  for (const SlurmFailureRule& rule : SlurmFailureRules()) {
    const bool reached = std::any_of(Cases().begin(), Cases().end(), [&](const FailureCase& row) {
      return SlurmRuleFor(row.words) == &rule;
    });
    EXPECT_TRUE(reached) << rule.text;
  }
}

struct KindCase {
  const char* words;
  SlurmFailure want;
};

TEST(SlurmFailureOfTest, WhatAsksForMoreThanAnError) {
  for (const KindCase& row : std::vector<KindCase>{
           {"slurm_load_jobs error: Invalid job id specified", SlurmFailure::kNoSuchJob},
           {"scancel: error: Kill job error on job id 7: Invalid job id specified",
            SlurmFailure::kNoSuchJob},
           {"scancel: error: Kill job error on job id 7: Job/step already completing or completed",
            SlurmFailure::kJobIsOver},
           {"Slurm accounting storage is disabled", SlurmFailure::kNoAccounting},
           {"sbatch: error: Batch job submission failed: Unable to contact slurm controller",
            SlurmFailure::kMaybeSubmitted},
           {"Access/permission denied", SlurmFailure::kOther},
           {"", SlurmFailure::kOther},
       }) {
    EXPECT_EQ(SlurmFailureOf(row.words), row.want) << row.words;
  }
}

TEST(SlurmFailureRulesTest, TextsAreInLowerCase) {
  for (const SlurmFailureRule& rule : SlurmFailureRules()) {
    EXPECT_EQ(base::AsciiLower(rule.text), rule.text);
  }
}

TEST(ExplainLogTest, QuotesTheLineThatIsKnown) {
  const std::string log =
      "tao-inference: port 8080 of node n1 is free\n"
      "slurmstepd: error: pyxis: child 1 failed with error code: 1\n"
      "slurmstepd: error: pyxis: failed to import docker image\n"
      "slurmstepd: error: pyxis:     [ERROR] URL x returned error code: 401 Unauthorized\n";
  EXPECT_THAT(ExplainLog(log), HasSubstr("401 Unauthorized"));
  EXPECT_THAT(ExplainLog(log), HasSubstr("authn.nvidia.com"));
  EXPECT_EQ(ExplainLog("all is well"), "");
}

}  // namespace
}  // namespace tao::platforms
