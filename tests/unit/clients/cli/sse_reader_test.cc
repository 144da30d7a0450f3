#include "clients/cli/sse_reader.h"

namespace tao::cli {
namespace {

using Events = std::vector<std::string>;

constexpr char kStream[] =
    "\xef\xbb\xbf: a comment\n"
    "data: one\n\n"
    "event: x\r\ndata:two\r\ndata:  lines\r\n\r\n"
    "data: three\r\r"
    "id: 7\n\n"  // no data: no event
    "data\n\n"
    "data: cut off";

const Events kEvents = {"one", "two\n lines", "three", ""};

TEST(SseReaderTest, ReadsEventsWhateverTheirLineEnds) {
  SseReader reader;
  EXPECT_EQ(reader.Add(kStream), kEvents);
}

TEST(SseReaderTest, PiecesMayBeCutAnywhere) {
  const std::string stream = kStream;
  for (size_t cut = 0; cut <= stream.size(); ++cut) {
    SseReader reader;
    Events events = reader.Add(stream.substr(0, cut));
    for (std::string& event : reader.Add(stream.substr(cut))) events.push_back(std::move(event));
    EXPECT_EQ(events, kEvents) << "cut at " << cut;
  }
}

}  // namespace
}  // namespace tao::cli
