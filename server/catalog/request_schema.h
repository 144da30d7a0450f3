#pragma once

// request.yaml, typed: how a container says that it is ready, what it takes as a chat completion,
// and what it answers. Read by GetRequestSchema and by the request contract. Plain data.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/exchange_timeouts.h"

namespace tao::catalog {

// What a readiness answer means for who waits.
enum class ReadinessMeaning { kReady, kKeepPolling, kFailed };

struct ReadinessState {
  std::string name;  // for people: "model_loading"
  ReadinessMeaning meaning = ReadinessMeaning::kKeepPolling;
  std::vector<int> http;   // the status codes it comes with
  std::string reason;      // shape A: {"status": "not_ready", "reason": ...}; empty for ready
  std::string error_type;  // shape B: {"error": {"type": ...}}; empty for ready
};

struct ReadinessCheck {
  std::string readiness_path;
  std::string liveness_path;
  int interval_s = 0;  // the reference polling: one poll each
  int timeout_s = 0;   // of one poll
  int total_s = 0;     // until the wait is given up
  std::vector<ReadinessState> states;
};

enum class FieldType { kInt, kFloat, kNumber, kString, kBool };  // kNumber: int or float
std::string_view ToString(FieldType type);                       // as request.yaml spells it

// A range of numbers. Nothing set: any number.
struct Range {
  std::optional<double> minimum;  // least value allowed
  std::optional<double> above;    // every value allowed is greater than this
  std::optional<double> maximum;  // greatest value allowed
  bool Holds(double value) const;
  bool empty() const { return !minimum && !above && !maximum; }
};
// For people: "at least 1", "more than 0 and at most 1", "from 0 to 2"; empty for any number.
std::string ToText(const Range& range);

// What an arch does with a field of the chat completion body.
enum class FieldUse {
  kApplies,  // the container reads it: its type and range are checked
  kIgnored,  // relayed, and the container ignores it: the client is told
  kForeign,  // belongs to other archs: refused
};

// A field, as one arch sees it.
struct FieldRule {
  FieldUse use = FieldUse::kApplies;
  std::string default_text;       // what we propose; as it stands in the file; empty: none
  std::string container_default;  // what the container uses when it is left out; empty: unknown
  Range range;
  std::string meaning;  // where it differs from the usual one ("number of output frames")
};

struct RequestField {
  std::string name;
  FieldType type = FieldType::kString;
  std::string help;                        // one line, for people
  FieldRule rule;                          // where no arch says otherwise
  std::map<std::string, FieldRule> archs;  // network_arch -> its own, complete rule
  const FieldRule& RuleFor(const std::string& network_arch) const;
};

// What a content item holds.
enum class ContentKind { kText, kImage, kVideo };
std::string_view ToString(ContentKind kind);  // "text", "image", "video"

// An item of a message's content list: {"type": NAME, NAME: text or {"url": ...}}.
struct ContentItem {
  std::string name;
  ContentKind kind = ContentKind::kText;
};

struct ChatBody {
  std::vector<RequestField> fields;          // in the order of the file
  std::vector<std::string> roles;            // of messages: those that the container reads
  std::vector<std::string> openai_roles;     // all that OpenAI has; `roles` are among them
  std::vector<ContentItem> content_items;    // that the container reads; any other is refused
  std::vector<std::string> refused_schemes;  // of media URLs: "s3://", ...
  std::string content_type;
  int client_timeout_s = 0;  // the least time-out that a client should wait for an answer
};

enum class MediaRule {
  kRequired,  // at least one image or video in every request
  kOptional,
  kByModel,  // depends on the model that is loaded
};

// What message.content of an answer holds.
enum class AnswerKind {
  kText,
  kVideoDataUri,  // data:video/mp4;base64,...: tens of megabytes in one string
  kByModel,       // text, or what the model gives, as a string
};

struct ArchConstraints {
  MediaRule media = MediaRule::kByModel;
  bool data_uris = true;            // whether data: URIs are accepted
  std::vector<std::string> images;  // file name extensions without the dot
  std::vector<std::string> videos;
  std::vector<std::string> mime_types;       // of data: URIs
  std::map<std::string, std::string> modes;  // "image" -> "image2world": what a kind of input does
  AnswerKind answer = AnswerKind::kByModel;
  base::TimeoutOverrides timeouts;  // of exchanges with it, where the operator's do not fit
};

// An answer of POST /v1/chat/completions that is not a completion, in the order the container
// checks.
struct ContainerError {
  int http = 0;
  std::string type;    // error.type
  bool retry = false;  // whether the same request may succeed later
};

struct RequestSchema {
  ReadinessCheck readiness;
  ChatBody chat;
  std::map<std::string, ArchConstraints> archs;  // an arch without a row has no constraint known
  std::vector<ContainerError> errors;
};

}  // namespace tao::catalog
