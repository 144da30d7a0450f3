#pragma once

// The immutable snapshot that requests are routed by. Built by the control plane on every change
// and handed to each gateway worker, which drops the old one when its exchanges no longer need it.

#include <absl/time/time.h>

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server/base/exchange_timeouts.h"
#include "server/base/secret.h"
#include "server/routing/phase.h"

namespace tao::routing {

// Where a service's container answers.
struct Backend {
  std::string scheme = "http";  // "http" or "https"
  std::string host;             // as it is dialled: 127.0.0.1 where host_url says localhost
  int port = 0;
  std::string base_path;  // prefix of every path, without a trailing slash; usually empty
  std::string authority;  // Host header towards the container
  // The whole value of the Authorization header towards the container ("Bearer ..."), instead of
  // the client's, when not empty (lepton).
  base::Secret credential;

  friend bool operator==(const Backend&, const Backend&) = default;
};

// Whose certificate an https backend must show: the host of its authority (a tunnel's host is not
// the name of what is behind it), without port and brackets.
std::string_view TlsNameOf(const Backend& backend);

// A service as routing sees it.
struct Service {
  std::string job_id;
  std::string network_arch;
  std::string platform;
  bool foreign = false;                   // another tool's: what it takes is its own business
  std::vector<std::string> served_names;  // other values of `model` that mean it
  Phase phase = Phase::kLaunching;
  // Why it is not READY: the container's word (model_loading, model_load_error, ...), or ours.
  std::string reason;
  std::string message;  // the same for people; the load progress while loading
  Backend backend;      // port 0 while there is none
  absl::Time started_at = absl::InfinitePast();  // InfinitePast until the platform confirmed
  std::string host_url;
  base::TimeoutOverrides timeouts;  // of its arch
};

// Immutable once built, so that any number of threads may read it.
class RouteTable {
 public:
  // `services` come oldest first (the order of Registry::List), their job_ids are unique (the
  // registry's key). STOPPED ones are left out: they are gone from every list.
  static std::shared_ptr<const RouteTable> Build(std::vector<Service> services);

  RouteTable() = default;                  // no services
  RouteTable(const RouteTable&) = delete;  // the indexes point into services_
  RouteTable& operator=(const RouteTable&) = delete;

  // Null when there is none.
  const Service* Find(std::string_view job_id) const;
  // In any phase, oldest first; null when there is none.
  const std::vector<const Service*>* WithArch(std::string_view network_arch) const;
  const std::vector<const Service*>* WithServedName(std::string_view name) const;
  const std::vector<Service>& services() const { return services_; }

 private:
  // Keys point into services_.
  using Index = std::unordered_map<std::string_view, std::vector<const Service*>>;

  std::vector<Service> services_;
  std::unordered_map<std::string_view, const Service*> by_job_id_;
  Index by_arch_, by_served_name_;
};

}  // namespace tao::routing
