#include "tests/unit/gateway/http/corpus.h"

#include "server/base/strings.h"

#include <gtest/gtest.h>

namespace tao::http {
namespace {

// The outcome is what the table says, however the bytes come in.
TEST(Corpus, EveryCaseIsReadAsItsRowSaysHoweverItIsCut) {
  for (const CorpusCase& each : RequestCorpus()) {
    SCOPED_TRACE(base::Quoted(each.name) + " " + base::Quoted(each.bytes, 300));
    std::string whole_body, body;
    EXPECT_EQ(ReadRequests(OnePiece(each.bytes), &whole_body), each.want);
    EXPECT_EQ(ReadRequests(CutBetweenCrAndLf(each.bytes), &body), each.want);
    EXPECT_EQ(body, whole_body);
    EXPECT_EQ(ReadRequests(ByteByByte(each.bytes), &body), each.want);
    EXPECT_EQ(body, whole_body);
  }
}

}  // namespace
}  // namespace tao::http
