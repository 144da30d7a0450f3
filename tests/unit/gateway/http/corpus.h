#pragma once

// Malformed and borderline requests that intermediaries and servers are known to read differently,
// and what this gateway makes of each. One table for every test that speaks HTTP/1.1 to it.

#include <string>
#include <string_view>
#include <vector>

namespace tao::http {

struct CorpusCase {
  std::string name;  // the corpus row, and what sets the case apart
  std::string bytes;
  // What the bytes are read as: accepted requests as "METHOD normal-path body-bytes", then the
  // status of a refusal or "more" when a message is not complete, joined by ", ". "POST /v1/x 27,
  // 400".
  std::string want;
};

// Everything that the head, the framing and the chunked coding decide.
const std::vector<CorpusCase>& RequestCorpus();

// Reads `pieces` as one connection's bytes and tells what was seen in the words of
// CorpusCase::want. The buffer is a new allocation for every piece, so that a stale view is a use
// after free. `body`, if given, gets all body bytes.
std::string ReadRequests(const std::vector<std::string_view>& pieces, std::string* body = nullptr);

// Ways to cut `bytes`.
std::vector<std::string_view> OnePiece(std::string_view bytes);
std::vector<std::string_view> ByteByByte(std::string_view bytes);
std::vector<std::string_view> CutBetweenCrAndLf(std::string_view bytes);
std::vector<std::string_view> CutAt(std::string_view bytes, const std::vector<size_t>& positions);

}  // namespace tao::http
