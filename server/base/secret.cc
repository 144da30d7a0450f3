#include "server/base/secret.h"

#include <atomic>
#include <cstdlib>
#include <set>
#include <vector>

#include "server/base/known_secrets.h"
#include "server/base/mutex.h"

namespace tao::base {
namespace {

constexpr size_t kShortestRedacted = 8;

// Longest first: a value that begins or stands inside another one must not break it up, and leave
// the rest of the longer one readable.
struct LongestFirst {
  bool operator()(const std::string& a, const std::string& b) const {
    return a.size() != b.size() ? a.size() > b.size() : a < b;
  }
};

// Every value that a Secret was made of. It only grows: a value stays secret after its owner is
// gone.
class KnownValues {
 public:
  void Add(const std::string& value) {
    if (value.size() < kShortestRedacted) return;
    MutexLock lock(mutex_);
    if (values_.insert(value).second) generation_.fetch_add(1, std::memory_order_release);
  }
  uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  std::vector<std::string> values() {
    MutexLock lock(mutex_);
    return {values_.begin(), values_.end()};
  }
  std::string Redact(std::string text) {
    MutexLock lock(mutex_);
    for (const std::string& value : values_) {
      for (size_t at = text.find(value); at != std::string::npos; at = text.find(value, at)) {
        text.replace(at, value.size(), "***");
      }
    }
    return text;
  }

 private:
  Mutex mutex_;
  std::set<std::string, LongestFirst> values_ ABSL_GUARDED_BY(mutex_);
  std::atomic<uint64_t> generation_ = 0;
};

KnownValues& Known() {
  static auto* const known = new KnownValues;  // never destroyed: the log may outlive main
  return *known;
}

}  // namespace

Secret::Secret(std::string value) : value_(std::move(value)) { Known().Add(value_); }

Secret SecretFromEnvironment(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  return value == nullptr ? Secret() : Secret(value);
}

uint64_t KnownSecretsGeneration() { return Known().generation(); }

std::vector<std::string> KnownSecrets() { return Known().values(); }

std::string Redact(std::string text) { return Known().Redact(std::move(text)); }

}  // namespace tao::base
