#include "gateway/admin.h"

#include <absl/time/clock.h>
#include <pthread.h>

#include <utility>
#include <vector>

#include "gateway/downstream.h"
#include "gateway/http_error.h"
#include "gateway/request.h"
#include "server/base/status.h"

namespace tao::gateway {

namespace net = transport::net;
using http::Method;
using transport::Task;

namespace {

constexpr std::string_view kMetricsType = "text/plain; version=0.0.4; charset=utf-8";
constexpr std::string_view kAllowed = "GET, HEAD";
// Scrapers come now and then, and open a new connection if they must.
constexpr size_t kMostConnections = 64;

}  // namespace

// One connection. It owns itself: it is destroyed at the end of Run.
class Admin::Session {
 public:
  static void Begin(Admin& admin, transport::TcpSocket socket) {
    std::unique_ptr<Session> session(new Session(admin, std::move(socket)));
    transport::Spawn(admin.io_, Run(std::move(session)));
  }
  ~Session() {
    admin_.sessions_.erase(this);
    admin_.EndWhenIdle();
  }
  void Abort() { downstream_.Abort(); }

 private:
  Session(Admin& admin, transport::TcpSocket socket)
      : admin_(admin), downstream_(std::move(socket), admin.wheel_, admin.config_) {
    admin_.sessions_.insert(this);
  }

  static Task<void> Run(std::unique_ptr<Session> session) {
    Session& self = *session;
    bool keep_open = true;
    while (keep_open) {
      const absl::Status arrived =
          co_await self.downstream_.ReadHead(self.admin_.config_.idle_timeout);
      if (absl::IsCancelled(arrived)) co_return;
      const absl::StatusOr<bool> written = co_await self.Reply(arrived);
      if (!written.ok()) co_return;
      keep_open = *written;
      self.downstream_.EndRequest();
    }
    co_await self.downstream_.Linger();
  }

  // Whether another request may follow; an error means that the client is gone.
  Task<absl::StatusOr<bool>> Reply(const absl::Status& arrived) {
    ReplyContext context;
    context.close = true;
    LocalReply reply;
    Request request;
    absl::Status understood = arrived;
    if (understood.ok()) understood = ReadRequest(downstream_.head(), &request);
    if (understood.ok()) {
      const http::RequestHead& head = downstream_.head();
      // Nothing here takes a body; one that comes makes the request the connection's last.
      context.close =
          !http::KeepsConnection(head.version, request.forwarding) || !downstream_.body_done();
      context.is_head = head.method == Method::kHead;
      reply = admin_.Answer(head);
    } else {
      reply = ErrorReply(understood);
    }
    context.date = admin_.date_.Format(absl::Now());
    const std::string text = Render(reply, context);
    const transport::Gather gather(text);
    if (!co_await downstream_.Write(gather)) co_return ClientLeft();
    co_return !context.close;
  }

  Admin& admin_;
  Downstream downstream_;
};

absl::StatusOr<std::unique_ptr<Admin>> Admin::Start(const GatewayConfig& config,
                                                    AdminSources sources) {
  ASSIGN_OR_RETURN(
      const ListeningSockets sockets,
      OpenListeningSockets(config.admin_listen, 1, {"admin listener", "--admin-listen"}));
  std::unique_ptr<Admin> admin(new Admin(config, std::move(sources), sockets));
  admin->thread_ = std::thread([raw = admin.get()] {
    ::pthread_setname_np(::pthread_self(), "gateway-admin");
    raw->listener_.Start();
    raw->io_.Run();
  });
  return admin;
}

Admin::Admin(const GatewayConfig& config, AdminSources sources, const ListeningSockets& sockets)
    : config_(config),
      sources_(std::move(sources)),
      address_(sockets.address),
      port_(sockets.port),
      listener_(io_, wheel_, sockets.fds.front(),
                [this](transport::TcpSocket socket, const net::ip::address&) {
                  Serve(std::move(socket));
                }) {}

Admin::~Admin() {
  io_.Post([this] {
    stopping_ = true;
    listener_.Stop();
    const std::vector<Session*> sessions(sessions_.begin(), sessions_.end());
    for (Session* const session : sessions) session->Abort();
    EndWhenIdle();
  });
  thread_.join();
}

void Admin::EndWhenIdle() {
  if (stopping_ && sessions_.empty()) io_.Stop();
}

void Admin::Serve(transport::TcpSocket socket) {
  if (stopping_ || sessions_.size() >= kMostConnections) return;  // closes it
  Session::Begin(*this, std::move(socket));
}

LocalReply Admin::Answer(const http::RequestHead& head) {
  const bool is_metrics = head.path == "/metrics";
  if (!is_metrics && head.path != "/livez" && head.path != "/readyz") {
    return ErrorReply(HttpError(404, "the admin listener serves /metrics, /livez and /readyz"));
  }
  if (head.method != Method::kGet && head.method != Method::kHead) {
    LocalReply reply = ErrorReply(HttpError(405, "the admin listener takes GET and HEAD"));
    reply.allow = kAllowed;
    return reply;
  }
  if (head.path == "/livez") return {.body = R"({"status":"ok"})"};
  if (head.path == "/readyz") return sources_.readiness();
  const std::optional<GatewayMetrics> metrics = sources_.metrics();
  if (!metrics.has_value()) {
    return {.status = 503,
            .body = "the gateway's workers did not all tell their numbers in time\n",
            .content_type = "text/plain; charset=utf-8"};
  }
  return {.body = RenderMetrics(*metrics), .content_type = kMetricsType};
}

}  // namespace tao::gateway
