#pragma once

#include "server/registry/service_record.h"

namespace tao::registry {

// A record in which every field differs from its default.
inline ServiceRecord FullRecord() {
  const absl::Time start = absl::FromUnixSeconds(1'790'000'000);
  ServiceRecord record;
  record.job_id = "0b8f3c9e-6a52-4d1b-9f6e-3f1f2a7c8d90";
  record.network_arch = "cosmos-rl";
  record.platform = "local-docker";
  record.foreign = true;
  record.request_id = "request \"7\"";
  record.request_fingerprint = R"({"network_arch":"cosmos-rl"})";
  record.image = "nvcr.io/nvidia/tao/tao-toolkit:7.0.0-cosmos-rl";
  record.model_path = "hf_model://nvidia/Cosmos-Reason1-7B";
  record.model_path_kind = "folder";
  record.served_names = {"hf_model://nvidia/Cosmos-Reason1-7B", "nvidia/Cosmos-Reason1-7B"};
  record.gpu_mode = "none";
  record.created_at = start;
  record.progress_timeout = absl::Seconds(600);
  record.startup_timeout = absl::Hours(2) + absl::Nanoseconds(1);
  record.keep_failed = true;
  record.host_port = 8081;
  record.gpu_ids = {"0", "GPU-5a"};
  record.host_url = "http://localhost:8081";
  record.docker_url = "http://0b8f3c9e-6a52-4d1b-9f6e-3f1f2a7c8d90:8080";
  record.platform_job_id = "4711";
  record.slurm_node = "node-3";
  record.instance_id = "i-1";
  record.published = true;
  record.phase = routing::Phase::kLoading;
  record.reason = "model_loading";
  record.message = "Laden läuft \xe2\x80\xa6";
  record.progress = {.stage = "downloading_model", .message = "3 of 7 files"};
  record.phase_since = start + absl::Nanoseconds(123'456'789);
  record.started_at = start + absl::Seconds(2);
  record.progress_since = start + absl::Seconds(3);
  record.ready_at = start + absl::Seconds(4);
  record.ended_at = start + absl::Hours(1);
  record.last_log_lines = {"Traceback", "\tKeyError: 'x'"};
  record.journal = {.operation = Operation::kStop, .step = Step::kEndJob, .done = true};
  record.driver_state = {{"pid", "4711"}, {"started", "99"}};
  return record;
}

}  // namespace tao::registry
