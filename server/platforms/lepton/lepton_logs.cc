// LeptonPlatform's logs: the stream of a replica, which has no end and no mark where the past ends,
// and what the workspace has kept when no replica is left.

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <thread>
#include <utility>

#include "server/base/mutex.h"
#include "server/base/secret.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/platforms/lepton/lepton_platform.h"
#include "server/platforms/lepton/lepton_render.h"

namespace tao::platforms {
namespace {

constexpr int kMaxQueriedLines = 5000;
constexpr absl::Duration kQueriedPast = absl::Hours(24 * 7);
constexpr absl::Duration kLongestStream = absl::Hours(12);
// Of a reader that is slower than the stream; then the stream is asked for again later.
constexpr size_t kMaxWaitingBytes = 8 << 20;
constexpr size_t kMaxLineBytes = 1 << 20;
constexpr int kFirstLine = 5;  // times the silence that ends the past
constexpr absl::Duration kFollowRound = absl::Milliseconds(200);  // for a look at `cancel`

// Between the HTTP client's thread and the reader's.
class Pipe {
 public:
  bool Put(std::string_view piece) {
    base::MutexLock lock(mutex_);
    waiting_.append(piece);
    changed_.SignalAll();
    return waiting_.size() < kMaxWaitingBytes;
  }
  void Close() {
    base::MutexLock lock(mutex_);
    closed_ = true;
    changed_.SignalAll();
  }
  // What has come; empty with `closed` at the end, empty without it after `wait`.
  std::string Take(absl::Duration wait, bool& closed) {
    const absl::Time end = absl::Now() + wait;
    base::MutexLock lock(mutex_);
    while (waiting_.empty() && !closed_ && absl::Now() < end) {
      changed_.WaitWithTimeout(mutex_, std::max(end - absl::Now(), absl::Milliseconds(1)));
    }
    closed = closed_ && waiting_.empty();
    return std::exchange(waiting_, {});
  }

 private:
  base::Mutex mutex_;
  base::CondVar changed_;
  std::string waiting_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

// Lines on their way to the sink: of the past only the last `tail`, then each as it comes.
class Tail {
 public:
  Tail(LogSink& sink, int tail) : sink_(sink), tail_(tail) {}

  // False: the reader left.
  bool Add(std::string_view line) {
    std::string text = base::Redact(std::string(line));
    if (past_is_over_ || tail_ < 0) return sink_.OnLine(text);
    kept_.push_back(std::move(text));
    if (kept_.size() > static_cast<size_t>(tail_)) kept_.pop_front();
    return true;
  }
  bool EndOfPast() {
    past_is_over_ = true;
    for (const std::string& line : std::exchange(kept_, {})) {
      if (!sink_.OnLine(line)) return false;
    }
    return true;
  }

 private:
  LogSink& sink_;
  const int tail_;
  bool past_is_over_ = false;
  std::deque<std::string> kept_;
};

// What was read of one replica's stream, which always begins at its beginning.
struct Reading {
  std::string first_line;
  size_t lines = 0;
};

}  // namespace

// One connection to a replica's stream, read by the calling thread.
class LeptonPlatform::ReplicaStream {
 public:
  ReplicaStream(const Place& place, const std::string& replica, absl::Duration timeout)
      : thread_([this, place, replica, timeout] {
          LeptonCall call;
          call.path = LeptonPath(place.family, place.name, "replicas/" + replica + "/log");
          call.timeout = call.try_timeout = timeout;
          call.repeatable = false;
          call.cancel = &left_;
          call.on_body = [this](std::string_view piece) { return pipe_.Put(piece); };
          const absl::StatusOr<io::HttpResponse> answer = place.api.Call(call);
          answered_ = answer.ok() && answer->status / 100 == 2;
          pipe_.Close();
        }) {}
  ~ReplicaStream() {
    left_.Cancel();
    thread_.join();
  }

  std::string Take(absl::Duration wait, bool& closed) { return pipe_.Take(wait, closed); }
  // Known when it is closed: whether there was a stream at all.
  bool answered() const { return answered_; }

 private:
  base::CancelToken left_;
  Pipe pipe_;
  std::atomic<bool> answered_ = false;
  std::thread thread_;  // the last member: it uses the others
};

namespace {

// Gives what `stream` brings beyond `reading` to `tail`. False: the reader left.
class LineReader {
 public:
  LineReader(Reading& reading, Tail& tail) : reading_(reading), skip_(reading.lines), tail_(tail) {}

  bool Add(std::string_view piece) {
    line_ += piece;
    size_t begin = 0;
    for (size_t end = line_.find('\n'); end != std::string::npos; end = line_.find('\n', begin)) {
      if (!OnLine(line_.substr(begin, end - begin))) return false;
      begin = end + 1;
    }
    line_.erase(0, begin);
    if (line_.size() < kMaxLineBytes) return true;
    return OnLine(std::exchange(line_, {}));
  }
  bool End() { return line_.empty() || OnLine(std::exchange(line_, {})); }

 private:
  bool OnLine(std::string line) {
    if (line.ends_with('\r')) line.pop_back();
    if (seen_++ == 0) {
      // Another beginning: the container was started anew, and nothing of it was read.
      if (line != reading_.first_line) skip_ = reading_.lines = 0;
      reading_.first_line = line;
    }
    if (seen_ <= skip_) return true;
    reading_.lines = seen_;
    return tail_.Add(line);
  }

  Reading& reading_;
  size_t skip_;
  size_t seen_ = 0;
  Tail& tail_;
  std::string line_;
};

}  // namespace

absl::Status LeptonPlatform::QueryLogs(const Place& place, int tail_lines, LogSink& sink,
                                       const base::CancelToken& cancel) const {
  const absl::Time now = absl::Now();
  const int limit = tail_lines < 0 ? kMaxQueriedLines : std::min(tail_lines, kMaxQueriedLines);
  ASSIGN_OR_RETURN(
      const std::string body,
      Get(place.api, "the logs of endpoint " + place.name + " could not be read",
          LeptonLogQuery(place.family, place.name, absl::ToUnixNanos(now - kQueriedPast),
                         absl::ToUnixNanos(now), std::max(limit, 1)),
          absl::Seconds(20), &cancel, LeptonSubject::kEndpoint));
  ASSIGN_OR_RETURN(const std::vector<std::string> lines, ParseLeptonLogs(body));
  if (lines.empty()) {
    return absl::NotFoundError(absl::StrFormat(
        "Lepton has no replica of endpoint %s, and has kept no log of it", place.name));
  }
  Tail tail(sink, tail_lines);
  for (const std::string& line : lines) {
    if (!tail.Add(line)) return absl::OkStatus();
  }
  tail.EndOfPast();
  return absl::OkStatus();
}

absl::Status LeptonPlatform::StreamLogs(const PlatformJob& job, const LogOptions& options,
                                        LogSink& sink, const base::CancelToken& cancel) {
  if (!job.driver_state.contains("name") && !job.driver_state.contains("foreign")) {
    return absl::NotFoundError(
        absl::StrFormat("service %s has no endpoint yet, so no logs", job.job_id));
  }
  ASSIGN_OR_RETURN(const Place place, PlaceOf(job));
  const absl::Time end = options.follow ? absl::InfiniteFuture() : absl::Now() + options.timeout;
  Tail tail(sink, options.tail_lines);
  std::map<std::string, Reading> readings;  // by replica
  bool any = false;                         // stream was there
  base::Backoff backoff(config_.poll);
  while (!cancel.cancelled()) {
    const absl::StatusOr<std::vector<LeptonReplica>> replicas = AskReplicas(place, &cancel);
    if (!replicas.ok() && !any && !absl::IsNotFound(replicas.status())) return replicas.status();
    if (absl::IsNotFound(replicas.status()) && any) break;  // the endpoint is gone
    // One replica is asked for, so a second one is the first one's successor: the last listed.
    if (replicas.ok() && !replicas->empty()) {
      const std::string replica = replicas->back().id;
      ReplicaStream stream(place, replica, std::min(end - absl::Now(), kLongestStream));
      LineReader reader(readings[replica], tail);
      bool past_is_over = false, begun = false;
      while (!cancel.cancelled() && absl::Now() < end) {
        bool closed = false;
        const std::string piece = stream.Take(
            past_is_over ? kFollowRound : config_.log_silence * (begun ? 1 : kFirstLine), closed);
        if (!piece.empty()) {
          any = begun = true;
          if (!reader.Add(piece)) return absl::OkStatus();
          continue;
        }
        if (!past_is_over) {
          if (closed && !reader.End()) return absl::OkStatus();
          // A stream that was never there says nothing about the past.
          if (!closed || stream.answered()) any = past_is_over = true;
          if (past_is_over && !tail.EndOfPast()) return absl::OkStatus();
          if (past_is_over && !options.follow) return absl::OkStatus();
        } else if (closed && !reader.End()) {
          return absl::OkStatus();
        }
        if (closed) break;
      }
      if (past_is_over) backoff.Reset();
    }
    if (!any) return QueryLogs(place, options.tail_lines, sink, cancel);
    if (!options.follow) break;
    if (LeptonCancelledWithin(&cancel, backoff.Next())) break;
  }
  tail.EndOfPast();
  return absl::OkStatus();
}

}  // namespace tao::platforms
