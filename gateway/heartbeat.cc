#include "gateway/heartbeat.h"

#include <algorithm>
#include <string>

#include "gateway/transport/deadline_wheel.h"

namespace tao::gateway {

using transport::DeadlineWheel;

namespace {

constexpr size_t kMaxCommentBytes = 300;

// One comment event (": text", an empty line). What is no printable ASCII, line ends above all,
// becomes a space: some of the text is the container's.
std::string CommentEvent(std::string_view text) {
  std::string event = ": ";
  for (const char c : text.substr(0, kMaxCommentBytes)) event += c >= ' ' && c <= '~' ? c : ' ';
  return event + "\n\n";
}

}  // namespace

Heartbeat::Heartbeat(ExchangeClient& client, RequestBody& body, const GatewayConfig& config)
    : client_(client),
      body_(body),
      config_(config),
      due_(DeadlineWheel::After(config.early_stream_after)) {}

bool Heartbeat::is_due() const { return DeadlineWheel::Now() >= due_; }

void Heartbeat::Sent() { due_ = DeadlineWheel::After(config_.heartbeat_interval); }

transport::Task<absl::Status> Heartbeat::Beat(const routing::Service& service,
                                              std::string_view comment, bool answer_begun) {
  if (!answer_begun && !has_begun_stream_) {
    has_begun_stream_ = true;
    const std::vector<std::string> notices = body_.TakeNotices();
    absl::Status begun = co_await client_.BeginStream(service, notices);
    if (!begun.ok()) co_return begun;
  }
  const std::string event = CommentEvent(comment);
  absl::Status written = co_await client_.WriteAnswer(event, false);
  Sent();
  co_return written;
}

transport::Task<absl::Status> Heartbeat::Tell(const std::vector<std::string>& comments) {
  std::string events;
  for (const std::string& comment : comments) events += CommentEvent(comment);
  absl::Status written = co_await client_.WriteAnswer(events, false);
  Sent();
  co_return written;
}

}  // namespace tao::gateway
