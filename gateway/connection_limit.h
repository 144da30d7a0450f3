#pragma once

// How many clients' connections there may be, in all and from one client, so that neither a crowd
// nor a single careless client takes the descriptors that everybody needs.
//
// Thread-safe. Asked once for each connection, never for a request.

#include <absl/container/flat_hash_map.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "gateway/transport/asio.h"
#include "server/base/mutex.h"

namespace tao::gateway {

class ConnectionLimit {
 public:
  // `all` 0: half of the descriptors that this process may open, less what the rest of it needs
  // (an exchange has one for each side). `per_client` 0: three quarters of all.
  ConnectionLimit(size_t all, size_t per_client);

  size_t all() const { return all_; }
  size_t per_client() const { return per_client_; }
  size_t open() const;

  // An IPv4 address, or the /64 of an IPv6 one: who has one has all of it.
  using Client = std::array<uint8_t, 16>;
  static Client ClientOf(const transport::net::ip::address& address);

  enum class Refusal { kNone, kTooMany, kTooManyOfClient };

  // A connection that counts as long as it lives. The limit outlives it.
  class Ticket {
   public:
    Ticket(Ticket&& other) noexcept
        : limit_(std::exchange(other.limit_, nullptr)), client_(other.client_) {}
    Ticket& operator=(Ticket&&) = delete;
    ~Ticket() {
      if (limit_ != nullptr) limit_->Return(client_);
    }

   private:
    friend class ConnectionLimit;
    Ticket(ConnectionLimit& limit, const Client& client) : limit_(&limit), client_(client) {}

    ConnectionLimit* limit_;
    Client client_;
  };
  // nullopt: one too many, and `refusal` says of what.
  std::optional<Ticket> Take(const Client& client, Refusal* refusal);

 private:
  void Return(const Client& client);

  const size_t all_;
  const size_t per_client_;
  mutable base::Mutex mutex_;
  size_t open_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<Client, size_t> of_client_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tao::gateway
