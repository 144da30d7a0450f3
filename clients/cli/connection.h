#pragma once

// The way to the daemon, and what each command is given to run with.

#include <absl/time/time.h>
#include <grpcpp/client_context.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "clients/cli/exit_code.h"
#include "clients/cli/interrupt.h"
#include "tao/inference/v1/inference.grpc.pb.h"

namespace CLI {
class App;
}

namespace tao::cli {

namespace pb = ::tao::inference::v1;

inline constexpr char kDefaultServer[] = "127.0.0.1:50051";
inline constexpr char kServerVariable[] = "TAO_INFERENCE_SERVER";

// Answers are at most this long: a video comes as one JSON string of tens of MB, and gRPC's default
// is 4 MiB.
inline constexpr int kMaxReceiveBytes = 256 * 1024 * 1024;

// Longest wait for an answer from memory or of a short check. Start has the platform's preflight
// (30 s) before its answer.
inline constexpr absl::Duration kAnswerLimit = absl::Seconds(30);
inline constexpr absl::Duration kStartLimit = absl::Seconds(120);

// Options of all commands.
struct GlobalOptions {
  std::string server = kDefaultServer;
  bool json = false;
};

struct Session {
  GlobalOptions options;
  std::unique_ptr<pb::InferenceService::StubInterface> stub;
  Interrupt& interrupt;
};

// A command that was registered with the parser, and what runs it when it was chosen.
struct Command {
  CLI::App* parser;
  std::function<ExitCode(Session&)> run;
  // Flags that only the daemon knows are for it (platform_flags.h, sampling_flags.h).
  bool takes_unknown_flags = false;
};

// A stub for `server`. Connects at the first call; never through a proxy of the environment.
std::unique_ptr<pb::InferenceService::StubInterface> Connect(const std::string& server);

void SetLimit(grpc::ClientContext& context, absl::Duration limit);

// "tao-inference watch JOB_ID", with the --server it needs in this shell.
std::string CommandLine(const Session& session, std::string_view command, std::string_view job_id);

void PrintOut(std::string_view text);  // stdout: what was asked for; flushed
void PrintErr(std::string_view text);  // stderr: progress, advice, errors

}  // namespace tao::cli
