#pragma once

// Finds the addresses of backends that are known by name, apart from any request: as soon as a name
// is in the route table, and again and again as long as it is. getaddrinfo does not say how long
// its answer holds, so one time to live stands for all.

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <absl/time/time.h>

#include <boost/asio/ip/address.hpp>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "server/base/mutex.h"

namespace tao::upstream {

// What a name stands for: addresses in the order in which they are to be tried, or an error.
struct Resolution {
  std::vector<boost::asio::ip::address> addresses;
  std::string error;         // why there are none
  bool may_recover = false;  // the error is the name service's: older addresses still hold

  friend bool operator==(const Resolution&, const Resolution&) = default;
};

// Blocks.
using Lookup = std::function<Resolution(const std::string& host)>;
Resolution LookUpBySystem(const std::string& host);

// Thread-safe. Owns some threads from the first name on, so that a name server that does not answer
// for one holds up no other. Destroying it waits for the look-ups in progress, which cannot be
// interrupted.
class NameResolver {
 public:
  // Hears of every host's first resolution, of each other one after it, and of the one that is
  // there when it was asked for. In order for each host; must not block, nor call this.
  using Deliver =
      std::function<void(const std::string& host, std::shared_ptr<const Resolution> found)>;

  NameResolver(Lookup lookup, absl::Duration time_to_live, Deliver deliver);
  ~NameResolver();
  NameResolver(const NameResolver&) = delete;
  NameResolver& operator=(const NameResolver&) = delete;

  // These hosts from now on, and no others. Literal addresses are left out.
  void Keep(const std::vector<std::string>& hosts);
  // Delivers what is known of `host`, looking it up if nothing is.
  void Ask(const std::string& host);

 private:
  struct Entry {
    std::shared_ptr<const Resolution> found;
    absl::Duration due = absl::ZeroDuration();  // when it is looked up next
    bool busy = false;                          // is being looked up
    bool kept = false;                          // by Keep; else it goes once it was looked up
  };

  void Run();
  // The host to look up now, and in `wait` how long to wait when there is none.
  std::string TakeDueLocked(absl::Duration* wait) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FinishLocked(const std::string& host, Resolution found)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StartThreadsLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Lookup lookup_;
  const absl::Duration time_to_live_;
  const Deliver deliver_;

  base::Mutex mutex_;
  base::CondVar changed_;
  absl::flat_hash_map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mutex_);
};

// `host` as an address if it is one, in brackets or not.
boost::asio::ip::address ParseAddress(const std::string& host, boost::system::error_code& error);

}  // namespace tao::upstream
