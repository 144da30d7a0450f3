#pragma once

// What the brev driver keeps of a job in driver_state, and the names it gives. Pure.

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "server/platforms/platform.h"

namespace tao::platforms {

struct BrevState {
  bool owned = false;         // Start made the instance, and Stop deletes it
  bool foreign = false;       // an entry of another tool
  std::string instance_name;  // also ssh's alias
  std::string instance_id;    // empty until brev has said it
  bool container = false;     // not kept: this launch has got as far as the container
  bool in_doubt = false;      // not kept: a brev or docker was cut off in its work, and what it
                              // began may show up late
  std::string network;        // docker's on the instance that the container joins; empty: its own
  std::string address, ip;    // dialled without a tunnel; empty: by the tunnel

  std::map<std::string, std::string> ToMap() const;
};
BrevState ToBrevState(const std::map<std::string, std::string>& driver_state);

// The name of the instance that `daemon_id` makes for `job_id`. Whoever lost the answer of brev
// create finds it by this name, and no other daemon uses it.
std::string OwnInstanceName(std::string_view job_id, std::string_view daemon_id);
// The job_id in such a name; nullopt when it is not one of this daemon's.
std::optional<std::string> JobIdOfInstance(std::string_view name, std::string_view daemon_id);

}  // namespace tao::platforms
