#include "server/readiness/probe_parse.h"

#include <absl/strings/str_format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "server/base/secret.h"
#include "server/base/strings.h"

namespace tao::readiness {
namespace {

using nlohmann::json;
using Outcome = ProbeResult::Outcome;

constexpr size_t kMaxTextBytes = 500;
// The real answers nest four deep. A deeper one is not worth its memory.
constexpr int kMaxDepth = 32;

struct Word {
  std::string_view word;
  Outcome outcome;
};
constexpr Word kWords[] = {
    {"server_initializing", Outcome::kInitializing}, {"model_loading", Outcome::kLoading},
    {"model_not_loaded", Outcome::kLoading},      // shape A
    {"model_not_ready", Outcome::kLoading},       // shape B
    {"initialization_failed", Outcome::kFailed},  // shape A
    {"initialization_error", Outcome::kFailed},   // shape B
    {"model_load_failed", Outcome::kFailed},      // shape A
    {"model_load_error", Outcome::kFailed},       // shape B
};

const Word* KnownWord(std::string_view text) {
  for (const Word& word : kWords) {
    if (word.word == text) return &word;
  }
  return nullptr;
}

// One line that a terminal shows as it is: C0 and C1 controls as spaces. `text` is valid UTF-8 (the
// JSON parser saw to it). Redacted before it is cut, since half a secret would no longer be known
// as one.
std::string Printable(std::string_view raw) {
  const std::string text = base::Redact(std::string(raw));
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    if (byte == 0xc2 && next < 0xa0) {  // U+0080 to U+009F
      out += ' ';
      ++i;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += ' ';
    } else {
      out += text[i];
    }
  }
  if (out.size() <= kMaxTextBytes) return out;
  constexpr std::string_view kCut = "...";
  size_t end = kMaxTextBytes - kCut.size();
  while (end > 0 && (static_cast<unsigned char>(out[end]) & 0xc0) == 0x80)
    --end;  // whole characters
  out.resize(end);
  return out += kCut;
}

// The members of a JSON object; every lookup is safe whatever is there.
class Object {
 public:
  static Object Parse(const std::string& body) {
    bool too_deep = false;
    json parsed = json::parse(
        body,
        [&](int depth, json::parse_event_t, json&) {
          too_deep |= depth > kMaxDepth;
          return !too_deep;  // false drops what is below, so that depth costs no memory
        },
        /*allow_exceptions=*/false);
    if (too_deep || !parsed.is_object()) return Object(json::object());
    return Object(std::move(parsed));
  }

  // "" when it is absent or no text.
  std::string_view Text(const char* name) const {
    const auto found = value_.find(name);
    if (found == value_.end() || !found->is_string()) return "";
    return found->get_ref<const std::string&>();
  }
  // Empty when it is absent or no object.
  Object Member(const char* name) const {
    const auto found = value_.find(name);
    if (found == value_.end() || !found->is_object()) return Object(json::object());
    return Object(*found);
  }

 private:
  explicit Object(json value) : value_(std::move(value)) {}
  json value_;
};

void ReadReadiness(const io::HttpResponse& readiness, ProbeResult& result) {
  if (readiness.status == 200) {
    result.outcome = Outcome::kReady;
    return;
  }
  const Object body = Object::Parse(readiness.body);
  const Object error = body.Member("error");
  const Word* word = KnownWord(body.Text("reason"));
  std::string_view message = body.Text("message");
  if (word == nullptr) {
    word = KnownWord(error.Text("type"));
    message = error.Text("message");
  }
  if (word == nullptr) {
    result.outcome = Outcome::kUnknownAnswer;
    result.message = absl::StrFormat(
        "its readiness check answers HTTP %d with %s, which is none of "
        "the answers we know",
        readiness.status, base::Quoted(base::Redact(readiness.body)));
    return;
  }
  result.outcome = word->outcome;
  result.reason = std::string(word->word);
  result.message = Printable(message);
}

void ReadLiveness(const io::HttpResponse& liveness, ProbeResult& result) {
  if (liveness.status != 200) return;
  const Object body = Object::Parse(liveness.body);
  result.job_id = Printable(body.Text("job_id"));
  const Object progress = body.Member("progress");
  const std::string_view stage = progress.Text("stage"), message = progress.Text("message");
  if (stage.empty() && message.empty()) return;
  result.progress = registry::Progress{.stage = Printable(stage), .message = Printable(message)};
}

}  // namespace

ProbeResult ParseProbe(const std::optional<io::HttpResponse>& readiness,
                       const std::optional<io::HttpResponse>& liveness) {
  ProbeResult result;
  if (!readiness.has_value()) return result;
  ReadReadiness(*readiness, result);
  if (liveness.has_value()) ReadLiveness(*liveness, result);
  return result;
}

}  // namespace tao::readiness
