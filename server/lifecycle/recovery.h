#pragma once

// What to do with a record that a daemon left behind. Pure: the decision is a table
// (recovery_test.cc); Lifecycle::Recover applies it. Drivers are idempotent, so "go on" and "do it
// again" are the same.

#include <string_view>

#include "server/registry/service_record.h"

namespace tao::lifecycle {

enum class RecoveryAction {
  kNothing,  // over: STOPPED, or FAILED and cleaned up
  kAdopt,  // it ran: hold its leases, probe it, publish it; the prober finds out what became of it
  kResumeStart,  // the launch goes on: the driver finds what runs already, or starts it
  kResumeStop,
  kResumeFail,
};

std::string_view ToString(RecoveryAction action);

RecoveryAction PlanRecovery(const registry::ServiceRecord& record);

}  // namespace tao::lifecycle
