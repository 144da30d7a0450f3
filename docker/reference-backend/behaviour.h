#pragma once

// How this backend behaves, from the environment. Every name below carries the prefix
// REFERENCE_BACKEND_. With none set it is exactly the Flask container: shape A, `Connection:
// close`, no SSE, ready at once. A name that is not below, or a value that cannot be, ends the
// program with code 2: a test must not pass because of a misspelt name. Switches take 0 or 1.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "docker/reference-backend/early_exit.h"

namespace tao::reference_backend {

using Milliseconds = std::chrono::milliseconds;

// What the container does between its start and its first answer, in order.
enum class Stage {
  kInitializing,
  kNotLoaded,  // initialised, and no model asked for yet
  kDownloadingModel,
  kLoadingModel,
  kReady,
  kInitializationFailed,  // final
  kLoadFailed,            // final
};

struct Behaviour {
  // --- How it speaks -----------------------------------------------------------------------------
  // KEEP_ALIVE: as uvicorn does it: connections stay open, and are closed when idle for
  // KEEP_ALIVE_IDLE_MS.
  bool keep_alive = false;
  Milliseconds keep_alive_idle{5000};
  // HTTP_VERSION: 1.1, or 1.0 (an SSE answer then ends with the connection). 1.0 has no KEEP_ALIVE.
  bool http_1_0 = false;
  // SHAPE: A (the container's code) or B (the reference data) of the readiness answers.
  bool shape_b = false;
  // SSE: answer a body with "stream": true as server-sent events: the role, SSE_EVENTS pieces of
  // the content, each after SSE_INTERVAL_MS, the finish_reason, [DONE]. A usage chunk comes before
  // [DONE] when the body's stream_options.include_usage asks for it, or always with SSE_USAGE.
  bool sse = false;
  int64_t sse_events = 3;
  Milliseconds sse_interval{0};
  bool sse_usage = false;
  // PORT: listen here, whatever the command line says. 0 is a free one, named on stdout.
  std::optional<uint16_t> port;

  // --- Its life
  // ------------------------------------------------------------------------------------
  // INITIALIZING_MS, NOT_LOADED_MS, DOWNLOADING_MODEL_MS, LOADING_MODEL_MS: how long each stage
  // takes.
  Milliseconds initializing{0};
  Milliseconds not_loaded{0};
  Milliseconds downloading_model{0};
  Milliseconds loading_model{0};
  // FAIL_AT: the stage whose end is a failure, for ever: initializing (initialization_error),
  // downloading_model or loading_model (model_load_error). FAIL_MESSAGE is its text.
  std::optional<Stage> fail_at;
  std::string fail_message = "CUDA out of memory";
  // STALL_AT: the stage that never ends: initializing, not_loaded, downloading_model,
  // loading_model.
  std::optional<Stage> stall_at;
  // CRASH_AFTER_MS after the start, or when the CRASH_AT_REQUEST-th chat completion (from 1) has
  // arrived whole, the process ends at once with CRASH_EXIT_CODE.
  std::optional<Milliseconds> crash_after;
  std::optional<int64_t> crash_at_request;
  int crash_exit_code = 1;
  // MINUTE_MS: how long a minute of the idle timeout takes.
  Milliseconds minute{60000};

  // --- What it answers
  // ------------------------------------------------------------------------------- ANSWER_STATUS:
  // answer every valid chat completion of a ready backend with this error: 202 (model_loading), 400
  // (invalid_request), 500 (internal_error) or 503 (model_not_ready).
  std::optional<int> answer_status;
  // REPLY_BYTES: the content is a video-like data:video/mp4;base64 text of so many bytes.
  std::optional<int64_t> reply_bytes;
  // REPLY_DELAY_MS: compute so long; the client's leaving meanwhile ends it.
  Milliseconds reply_delay{0};
  // REPLY_PAUSE_MS: pause so long when half of the content is written.
  Milliseconds reply_pause{0};
  // CLOSE_AT: close the connection instead of an answer (before_answer), or when half of the
  // content is written (mid_answer).
  bool close_before_answer = false;
  bool close_mid_answer = false;
  // LIVENESS_JOB_ID: the job_id that liveness shows, to play a foreign backend.
  std::optional<std::string> liveness_job_id;

  // --- What it notes
  // --------------------------------------------------------------------------------- LOG: append
  // one JSON line an event to this file (exchange_log.h).
  std::string log_path;
};

using Environment = std::vector<std::pair<std::string, std::string>>;

// Reads the REFERENCE_BACKEND_ names of `environment`; others are not looked at.
std::variant<Behaviour, EarlyExit> ParseBehaviour(const Environment& environment);

// "downloading_model"; the failed stages are both "error". The words of liveness' progress, and
// not_loaded.
std::string_view StageName(Stage stage);

}  // namespace tao::reference_backend
