#include "server/platforms/local_process/local_process_parse.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>

#include "server/base/strings.h"

namespace tao::platforms {
namespace {

using Json = nlohmann::json;

absl::StatusOr<Json> ParseObject(std::string_view text, const char* name) {
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_object()) return json;
  return absl::FailedPreconditionError(
      absl::StrFormat("%s is no JSON object: %s", name, base::Quoted(text, 60)));
}

// The member as a number from `lowest` to `highest`; nullopt when it is absent or something else.
std::optional<int64_t> NumberIn(const Json& json, const char* name, int64_t lowest,
                                int64_t highest) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_number_integer()) return std::nullopt;
  const auto number = found->get<int64_t>();
  if (number < lowest || number > highest) return std::nullopt;
  return number;
}

std::string TextIn(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

bool FlagIn(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_boolean() && found->get<bool>();
}

std::string SignalName(int number) {
  const char* const name = sigdescr_np(number);  // strsignal without its shared buffer
  return absl::StrFormat("signal %d (%s)", number, name == nullptr ? "unknown" : name);
}

// What `code` usually means, for people who have only this number.
std::string DescribeExitCode(int code) {
  const std::string status = absl::StrFormat("exit status %d", code);
  if (code == 126) return status + ": the service's program could not be executed; see its logs";
  if (code == 127) {
    return status + ": the service's program was not found; see its logs, and --local-process-path";
  }
  if (code == 128 + SIGKILL) {
    return status + ": killed, often for lack of memory; see its logs and dmesg";
  }
  return code > 128 && code < 128 + NSIG ? absl::StrFormat("%s: %s", status, SignalName(code - 128))
                                         : status;
}

PlatformState Ended(const ExitRecord& exit) {
  if (exit.not_started) return {.state = PlatformState::State::kGone, .detail = "never started"};
  if (exit.signal.has_value()) {
    const char* const why =
        *exit.signal == SIGKILL && !exit.stopped ? ", often for lack of memory; see dmesg" : "";
    return {.state = PlatformState::State::kFailed,
            .detail = absl::StrFormat("killed by %s%s", SignalName(*exit.signal), why),
            .exit_code = 128 + *exit.signal};
  }
  const int code = exit.exit_code.value_or(0);
  if (code == 0) {
    return {.state = PlatformState::State::kExited, .detail = "exit status 0", .exit_code = 0};
  }
  return {
      .state = PlatformState::State::kFailed, .detail = DescribeExitCode(code), .exit_code = code};
}

}  // namespace

absl::StatusOr<ParentRecord> ParseParentRecord(std::string_view text) {
  auto json = ParseObject(text, "parent.json");
  if (!json.ok()) return json.status();
  constexpr int64_t kMaxPid = int64_t{1} << 22;
  const auto pid = NumberIn(*json, "pid", 1, kMaxPid);
  const auto start_time = NumberIn(*json, "start_time", 1, INT64_MAX);
  const auto port = NumberIn(*json, "port", 1, 65535);
  if (!pid.has_value() || !start_time.has_value() || !port.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrFormat("parent.json lacks pid, start_time or port: %s", base::Quoted(text, 300)));
  }
  ParentRecord record = {.pid = static_cast<pid_t>(*pid),
                         .start_time = static_cast<uint64_t>(*start_time),
                         .boot_id = TextIn(*json, "boot_id"),
                         .daemon_id = TextIn(*json, "daemon_id"),
                         .job_id = TextIn(*json, "job_id"),
                         .port = static_cast<int>(*port)};
  const auto child = NumberIn(*json, "child_pid", 1, kMaxPid);
  if (child.has_value()) record.child_pid = static_cast<pid_t>(*child);
  return record;
}

absl::StatusOr<ExitRecord> ParseExitRecord(std::string_view text) {
  auto json = ParseObject(text, "exit.json");
  if (!json.ok()) return json.status();
  ExitRecord record = {.stopped = FlagIn(*json, "stopped"),
                       .not_started = FlagIn(*json, "not_started")};
  const auto code = NumberIn(*json, "exit_code", 0, 255);
  const auto number = NumberIn(*json, "signal", 1, NSIG);
  if (code.has_value()) record.exit_code = static_cast<int>(*code);
  if (number.has_value()) record.signal = static_cast<int>(*number);
  if (!code.has_value() && !number.has_value() && !record.not_started) {
    return absl::FailedPreconditionError(
        absl::StrFormat("exit.json says nothing of the end: %s", base::Quoted(text, 300)));
  }
  return record;
}

std::string NotStartedExitRecord() { return "{\"not_started\":true,\"stopped\":true}\n"; }

PlatformState ToPlatformState(const JobFiles& files) {
  // Written before the lock is given back: the job has ended, whether or not its parent has.
  if (files.exit.has_value()) return Ended(*files.exit);
  if (files.locked) {
    const bool runs = files.parent.has_value() && files.parent->child_pid.has_value();
    return {.state = runs ? PlatformState::State::kRunning : PlatformState::State::kPending,
            .detail = runs ? "" : "being started"};
  }
  if (!files.parent.has_value()) return {.state = PlatformState::State::kGone};
  return {.state = PlatformState::State::kFailed,
          .detail =
              "ended without an exit status: its parent process was killed, the disk of the state "
              "directory was full, or the machine restarted"};
}

std::string KilledExitRecord() {
  return absl::StrFormat("{\"signal\":%d,\"stopped\":true}\n", SIGKILL);
}

absl::StatusOr<ProcessStat> ParseProcessStat(std::string_view text) {
  // "PID (NAME) STATE PPID PGRP SESSION ...", and NAME may hold anything. proc(5) counts from 1.
  const size_t name_end = text.rfind(')');
  const std::vector<absl::string_view> fields =
      name_end == std::string_view::npos || name_end + 2 >= text.size()
          ? std::vector<absl::string_view>()
          : absl::StrSplit(base::ToAbsl(text.substr(name_end + 2)), ' ');
  constexpr size_t kState = 0, kParent = 1, kSession = 3, kStartTime = 19;  // 3, 4, 6, 22
  ProcessStat stat;
  if (fields.size() <= kStartTime || fields[kState].size() != 1 ||
      !absl::SimpleAtoi(fields[kParent], &stat.parent) ||
      !absl::SimpleAtoi(fields[kSession], &stat.session) ||
      !absl::SimpleAtoi(fields[kStartTime], &stat.start_time)) {
    return absl::FailedPreconditionError(
        absl::StrFormat("no line of /proc/PID/stat: %s", base::Quoted(text)));
  }
  stat.state = fields[kState][0];
  return stat;
}

}  // namespace tao::platforms
