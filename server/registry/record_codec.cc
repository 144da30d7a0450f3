#include "server/registry/record_codec.h"

#include <absl/strings/str_format.h>

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>

#include "server/base/status.h"
#include "server/base/strings.h"

namespace tao::registry {
namespace {

using Json = nlohmann::ordered_json;

constexpr routing::Phase kPhases[] = {
    routing::Phase::kLaunching,    routing::Phase::kPending,  routing::Phase::kStarting,
    routing::Phase::kInitializing, routing::Phase::kLoading,  routing::Phase::kReady,
    routing::Phase::kUnreachable,  routing::Phase::kDraining, routing::Phase::kFailed,
    routing::Phase::kStopped,
};

std::string TimeText(absl::Time time) {
  return absl::FormatTime(absl::RFC3339_full, time, absl::UTCTimeZone());
}

// Reads the members of one object. The first thing that is wrong is kept in status(); reading goes
// on with defaults, so that the field list below stays a list.
class ObjectReader {
 public:
  // `path` is what errors call the object: "" or "journal.".
  ObjectReader(const Json& object, std::string path) : object_(object), path_(std::move(path)) {
    if (!object_.is_object()) Fail("", "is not an object");
  }

  void Read(const char* name, std::string& out) {
    if (const Json* const value = Find(name)) ReadText(name, *value, out);
  }
  void Read(const char* name, bool& out) {
    const Json* const value = Find(name);
    if (value == nullptr) return;
    if (!value->is_boolean()) return Fail(name, "is neither true nor false");
    out = value->get<bool>();
  }
  void Read(const char* name, int& out) {
    const Json* const value = Find(name);
    if (value == nullptr) return;
    if (!value->is_number_integer()) return Fail(name, "is not an integer");
    const auto number = value->get<int64_t>();
    if (number < 0 || number > std::numeric_limits<int>::max())
      return Fail(name, "is out of range");
    out = static_cast<int>(number);
  }
  void Read(const char* name, absl::Time& out) {
    std::string text;
    if (!ReadPresentText(name, text)) return;
    std::string error;
    if (!absl::ParseTime(absl::RFC3339_full, text, &out, &error)) Fail(name, "is not a time");
  }
  void Read(const char* name, absl::Duration& out) {
    std::string text;
    if (!ReadPresentText(name, text)) return;
    if (!absl::ParseDuration(text, &out)) Fail(name, "is not a duration");
  }
  void Read(const char* name, std::vector<std::string>& out) {
    const Json* const value = Find(name);
    if (value == nullptr) return;
    if (!value->is_array()) return Fail(name, "is not an array");
    for (const Json& item : *value) ReadText(name, item, out.emplace_back());
  }
  void Read(const char* name, std::map<std::string, std::string>& out) {
    const Json* const value = Find(name);
    if (value == nullptr) return;
    if (!value->is_object()) return Fail(name, "is not an object");
    for (const auto& [key, item] : value->items()) ReadText(name, item, out[key]);
  }
  // An enumerator by its name; `named` gives nullopt for a name that it does not know.
  template <typename Enum, typename Named>
  void ReadNamed(const char* name, Enum& out, Named named) {
    std::string text;
    if (!ReadPresentText(name, text)) return;
    const std::optional<Enum> value = named(text);
    if (!value.has_value()) return Fail(name, absl::StrFormat("is %s", base::Quoted(text)));
    out = *value;
  }
  // Null when it is absent.
  const Json* Find(const char* name) const {
    if (!object_.is_object()) return nullptr;
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }
  void Fail(std::string_view name, std::string_view what) {
    if (error_.empty()) error_ = absl::StrFormat("\"%s%s\" %s", path_, name, what);
  }
  const std::string& error() const { return error_; }

 private:
  void ReadText(const char* name, const Json& value, std::string& out) {
    if (!value.is_string()) return Fail(name, "is not text");
    out = value.get<std::string>();
  }
  bool ReadPresentText(const char* name, std::string& out) {
    const Json* const value = Find(name);
    if (value == nullptr) return false;
    ReadText(name, *value, out);
    return value->is_string();
  }

  const Json& object_;
  const std::string path_;
  std::string error_;
};

std::optional<routing::Phase> PhaseNamed(std::string_view name) {
  for (const routing::Phase phase : kPhases) {
    if (routing::ToString(phase) == name) return phase;
  }
  return std::nullopt;
}

Json JournalJson(const JournalEntry& journal) {
  Json json;
  json["operation"] = ToString(journal.operation);
  json["step"] = ToString(journal.step);
  json["done"] = journal.done;
  return json;
}

absl::Status NotARecord(std::string_view why) {
  return absl::InvalidArgumentError(absl::StrFormat("not a service record: %s", why));
}

absl::Status CheckSchema(const Json& json) {
  const auto schema = json.find("schema");
  if (schema == json.end() || !schema->is_number_integer()) {
    return NotARecord("\"schema\" is missing or not an integer");
  }
  const auto found = schema->get<int64_t>();
  if (found == kRecordSchema) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrFormat("the record has schema %d, and this program knows only %d: it was written by "
                      "another version. "
                      "Run that version, or give another --state-dir",
                      found, kRecordSchema));
}

std::string ReadJournal(const Json& json, JournalEntry& journal) {
  ObjectReader reader(json, "journal.");
  reader.ReadNamed("operation", journal.operation, OperationNamed);
  reader.ReadNamed("step", journal.step, StepNamed);
  reader.Read("done", journal.done);
  return reader.error();
}

std::string ReadProgress(const Json& json, Progress& progress) {
  ObjectReader reader(json, "progress.");
  reader.Read("stage", progress.stage);
  reader.Read("message", progress.message);
  return reader.error();
}

}  // namespace

std::string PrintRecord(const ServiceRecord& record) {
  Json json;
  json["schema"] = kRecordSchema;
  json["job_id"] = record.job_id;
  json["network_arch"] = record.network_arch;
  json["platform"] = record.platform;
  json["foreign"] = record.foreign;
  json["request_id"] = record.request_id;
  json["request_fingerprint"] = record.request_fingerprint;
  json["image"] = record.image;
  json["model_path"] = record.model_path;
  json["model_path_kind"] = record.model_path_kind;
  json["served_names"] = record.served_names;
  json["sampling_fields"] = record.sampling_fields;
  json["gpu_mode"] = record.gpu_mode;
  json["created_at"] = TimeText(record.created_at);
  json["progress_timeout"] = absl::FormatDuration(record.progress_timeout);
  json["startup_timeout"] = absl::FormatDuration(record.startup_timeout);
  json["keep_failed"] = record.keep_failed;
  json["host_port"] = record.host_port;
  json["instance_port"] = record.instance_port;
  json["gpu_ids"] = record.gpu_ids;
  json["host_url"] = record.host_url;
  json["docker_url"] = record.docker_url;
  json["platform_job_id"] = record.platform_job_id;
  json["slurm_node"] = record.slurm_node;
  json["instance_id"] = record.instance_id;
  json["published"] = record.published;
  json["phase"] = routing::ToString(record.phase);
  json["reason"] = record.reason;
  json["message"] = record.message;
  json["progress"] = {{"stage", record.progress.stage}, {"message", record.progress.message}};
  json["phase_since"] = TimeText(record.phase_since);
  json["started_at"] = TimeText(record.started_at);
  json["progress_since"] = TimeText(record.progress_since);
  json["ready_at"] = TimeText(record.ready_at);
  json["ended_at"] = TimeText(record.ended_at);
  json["last_log_lines"] = record.last_log_lines;
  json["journal"] = JournalJson(record.journal);
  json["driver_state"] = record.driver_state;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

absl::StatusOr<ServiceRecord> ParseRecord(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return NotARecord("it is not valid JSON");
  if (!json.is_object()) return NotARecord("it is not a JSON object");
  RETURN_IF_ERROR(CheckSchema(json));

  ServiceRecord record;
  ObjectReader reader(json, "");
  reader.Read("job_id", record.job_id);
  reader.Read("network_arch", record.network_arch);
  reader.Read("platform", record.platform);
  reader.Read("foreign", record.foreign);
  reader.Read("request_id", record.request_id);
  reader.Read("request_fingerprint", record.request_fingerprint);
  reader.Read("image", record.image);
  reader.Read("model_path", record.model_path);
  reader.Read("model_path_kind", record.model_path_kind);
  reader.Read("served_names", record.served_names);
  reader.Read("sampling_fields", record.sampling_fields);
  reader.Read("gpu_mode", record.gpu_mode);
  reader.Read("created_at", record.created_at);
  reader.Read("progress_timeout", record.progress_timeout);
  reader.Read("startup_timeout", record.startup_timeout);
  reader.Read("keep_failed", record.keep_failed);
  reader.Read("host_port", record.host_port);
  reader.Read("instance_port", record.instance_port);
  reader.Read("gpu_ids", record.gpu_ids);
  reader.Read("host_url", record.host_url);
  reader.Read("docker_url", record.docker_url);
  reader.Read("platform_job_id", record.platform_job_id);
  reader.Read("slurm_node", record.slurm_node);
  reader.Read("instance_id", record.instance_id);
  reader.Read("published", record.published);
  reader.ReadNamed("phase", record.phase, PhaseNamed);
  reader.Read("reason", record.reason);
  reader.Read("message", record.message);
  reader.Read("phase_since", record.phase_since);
  reader.Read("started_at", record.started_at);
  reader.Read("progress_since", record.progress_since);
  reader.Read("ready_at", record.ready_at);
  reader.Read("ended_at", record.ended_at);
  reader.Read("last_log_lines", record.last_log_lines);
  reader.Read("driver_state", record.driver_state);

  std::string error = reader.error();
  if (const Json* const progress = reader.Find("progress"); progress != nullptr && error.empty()) {
    error = ReadProgress(*progress, record.progress);
  }
  if (const Json* const journal = reader.Find("journal"); journal != nullptr && error.empty()) {
    error = ReadJournal(*journal, record.journal);
  }
  // What a record cannot be without: recovery would not know what it is about.
  for (const char* const name : {"job_id", "platform", "phase"}) {
    if (error.empty() && reader.Find(name) == nullptr)
      error = absl::StrFormat("\"%s\" is missing", name);
  }
  if (!error.empty()) return NotARecord(error);
  return record;
}

}  // namespace tao::registry
