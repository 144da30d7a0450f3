#include "clients/cli/connection.h"

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <cstdio>
#include <cstdlib>

namespace tao::cli {

namespace {

constexpr int kReconnectMs = 100;
constexpr absl::Duration kConnectLimit = absl::Seconds(2);

}  // namespace

std::unique_ptr<pb::InferenceService::StubInterface> Connect(const std::string& server) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetUserAgentPrefix("tao-inference");
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kReconnectMs);
  const std::shared_ptr<grpc::Channel> channel =
      grpc::CreateCustomChannel(server, grpc::InsecureChannelCredentials(), arguments);
  // A daemon that was started a moment ago may not listen yet. If none does, the call says so.
  static_cast<void>(channel->WaitForConnected(absl::ToChronoTime(absl::Now() + kConnectLimit)));
  return pb::InferenceService::NewStub(channel);
}

void SetLimit(grpc::ClientContext& context, absl::Duration limit) {
  context.set_deadline(absl::ToChronoTime(absl::Now() + limit));
}

std::string CommandLine(const Session& session, std::string_view command, std::string_view job_id) {
  const char* const variable = std::getenv(kServerVariable);
  const std::string_view found_alone =
      variable != nullptr && *variable != '\0' ? variable : kDefaultServer;
  const std::string& server = session.options.server;
  return absl::StrFormat("tao-inference %s%s%s %s", server == found_alone ? "" : "--server ",
                         server == found_alone ? "" : server + " ", command, job_id);
}

void PrintOut(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void PrintErr(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

}  // namespace tao::cli
