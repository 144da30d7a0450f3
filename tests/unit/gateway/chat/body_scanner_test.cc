#include "gateway/chat/body_scanner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/chat/body_tee.h"
#include "server/base/errors.h"
#include "tests/unit/gateway/chat/event_trace.h"

namespace tao::chat {
namespace {

using base::ErrorToken;
using base::ToStd;
using std::literals::operator""s;
using testing::HasSubstr;

std::string Repeat(std::string_view text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

// Whatever a body says, it says in every pair of pieces, and byte by byte.
void ExpectSameHoweverSplit(std::string_view body) {
  for (const StringForm form : {StringForm::kDecoded, StringForm::kRaw}) {
    const Scan whole = ScanWhole(body, form);
    for (size_t cut = 0; cut <= body.size(); ++cut) {
      const Scan split = ScanInPieces(body, {cut}, form);
      ASSERT_EQ(split.events, whole.events) << "cut at " << cut;
      ASSERT_EQ(split.status, whole.status) << "cut at " << cut;
    }
    const Scan bytes = ScanInPieces(body, EveryByte(body), form);
    ASSERT_EQ(bytes.events, whole.events);
    ASSERT_EQ(bytes.status, whole.status);
  }
}

struct ValidCase {
  std::string body;
  std::string events;
};

class ValidBodyTest : public testing::TestWithParam<ValidCase> {};

TEST_P(ValidBodyTest, EmitsItsEventsHoweverSplit) {
  const Scan scan = ScanWhole(GetParam().body);
  EXPECT_TRUE(scan.status.ok()) << scan.status;
  EXPECT_EQ(scan.events, GetParam().events);
  ExpectSameHoweverSplit(GetParam().body);
}

INSTANTIATE_TEST_SUITE_P(
    Rfc8259, ValidBodyTest,
    testing::ValuesIn<ValidCase>({
        {"{}", "{ }"},
        {" \t\r\n{ \n} \r\n", "{ }"},
        {R"({"a":[],"b":{}})", R"({ key:"a" [ ] key:"b" { } })"},
        {R"({"a":[1,[2,{"b":3}],"x"],"c":null})",
         R"({ key:"a" [ 1 [ 2 { key:"b" 3 } ] "x" ] key:"c" null })"},
        {R"({"a":true,"b":false})", R"({ key:"a" true key:"b" false })"},
        {R"({"":""})", R"({ key:"" "" })"},
        {R"({"a":0,"b":-0,"c":-1.5e+10,"d":10,"e":1E-7,"f":0.0,"g":1e05})",
         R"({ key:"a" 0 key:"b" -0 key:"c" -1.5e+10 key:"d" 10 key:"e" 1E-7 key:"f" 0.0 key:"g" 1e05 })"},
        {"{\"a\" : [ 1 , 2 ] }", R"({ key:"a" [ 1 2 ] })"},
        {R"({"a":"\"\\\/\b\f\n\r\t"})", R"({ key:"a" "\"\\/\x08\x0c\x0a\x0d\x09" })"},
        {R"({"a":"\u0041\u00e9\u20ac\u0000"})", R"({ key:"a" "A\xc3\xa9\xe2\x82\xac\x00" })"},
        {R"({"a":"\ud83d\ude00\uD83D\uDE00\uDBFF\uDFFF"})",
         R"({ key:"a" "\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf" })"},
        {R"({"mod\u0065l":1})", R"({ key:"model" 1 })"},
        {R"({"a":1,"a":2})", R"({ key:"a" 1 key:"a" 2 })"},  // the sinks' business
        {"{\"\xc3\xa9\":"
         "\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4"
         "\x8f\xbf\xbf\"}",
         R"({ key:"\xc3\xa9" "\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf" })"},
        {"{\"a\":\"x\x7fy\"}", R"({ key:"a" "x\x7fy" })"},  // DEL is no control in RFC 8259
        {"{\"a\":\"\xe2\x80\xa8\"}", R"({ key:"a" "\xe2\x80\xa8" })"},
    }));

struct InvalidCase {
  std::string name;
  std::string body;
  std::string problem;  // of the error message
};

class InvalidBodyTest : public testing::TestWithParam<InvalidCase> {};

TEST_P(InvalidBodyTest, IsRefusedHoweverSplit) {
  const Scan scan = ScanWhole(GetParam().body);
  EXPECT_EQ(base::TokenOf(scan.status), ErrorToken::kBadRequest);
  EXPECT_THAT(std::string(ToStd(scan.status.message())), HasSubstr(GetParam().problem));
  ExpectSameHoweverSplit(GetParam().body);
}

INSTANTIATE_TEST_SUITE_P(
    Rfc8259, InvalidBodyTest,
    testing::ValuesIn<InvalidCase>({
        // C72
        {"Empty", "", "request body is empty: expected a JSON object"},
        {"OnlySpace", "  ", "it ends after 2 bytes, where { of a JSON object"},
        {"Array", "[1]", "at byte 0 expected { of a JSON object"},
        {"String", "\"x\"", "at byte 0 expected {"},
        {"Null", "null", "at byte 0 expected {"},
        {"Number", "1", "at byte 0 expected {"},
        {"ByteOrderMark", "\xef\xbb\xbf{}", "without byte order mark, found byte 0xef"},
        {"Utf16", "\xff\xfe{\0}\0"s, "at byte 0"},
        {"Utf16NoMark", "{\0}\0"s,
         "at byte 1 expected a name in double quotes or }, found byte 0x00"},
        {"Utf32BigEndian", "\0\0\0{\0\0\0}"s, "at byte 0"},
        {"NaN", R"({"a":NaN})", "at byte 5 expected a value, found 'N'"},
        {"Infinity", R"({"a":-Infinity})", "at byte 6 expected a digit after the minus sign"},
        {"TrailingBytes", "{} x", "at byte 3 expected nothing after the object, found 'x'"},
        {"TrailingNul", "{}\0"s, "at byte 2 expected nothing after the object"},
        {"TwoObjects", "{}{}", "at byte 2 expected nothing after the object"},
        {"Comment", "{/**/}", "at byte 1"},
        {"LineComment", "{}// x", "at byte 2"},
        {"SingleQuotes", "{'a':1}", "at byte 1 expected a name in double quotes or }, found '''"},
        {"BareName", "{a:1}", "at byte 1"},
        {"InvalidUtf8", "{\"a\":\"\xff\"}", "at byte 6 expected UTF-8, found byte 0xff"},
        // Structure
        {"Unfinished", R"({"a":1)", "it ends after 6 bytes"},
        {"UnfinishedArray", R"({"a":[1,)", "where a value was expected"},
        {"UnfinishedString", R"({"a":"x)", "where the closing quote of a string was expected"},
        {"UnfinishedEscape", R"({"a":"\)", "the rest of an escape sequence"},
        {"UnfinishedNumber", R"({"a":1.)", "the rest of a number"},
        {"UnfinishedCharacter", "{\"a\":\"\xe2\x82", "the rest of a UTF-8 character"},
        {"TrailingComma", R"({"a":1,})", "at byte 7 expected a name in double quotes, found '}'"},
        {"TrailingCommaArray", R"({"a":[1,]})", "at byte 8 expected a value, found ']'"},
        {"LeadingComma", R"({,"a":1})", "at byte 1"},
        {"NoComma", R"({"a":1 "b":2})", "at byte 7 expected , or }"},
        {"NoColon", R"({"a" 1})", "at byte 5 expected : after the name"},
        {"ColonInArray", R"({"a":[1:2]})", "at byte 7 expected , or ]"},
        {"WrongBracket", R"({"a":[1}})", "at byte 7 expected , or ]"},
        {"WrongBrace", R"({"a":1])", "at byte 6 expected , or }"},
        {"FormFeed", "{\f}", "at byte 1"},
        {"NoBreakSpace", "{\xc2\xa0}", "at byte 1"},
        {"Truth", R"({"a":truth})", "at byte 8 expected true, found 't'"},
        {"Upper", R"({"a":True})", "at byte 5"},
        {"LongerLiteral", R"({"a":nulls})", "at byte 9 expected , or }"},
        // Numbers
        {"LeadingZero", R"({"a":01})", "at byte 6"},
        {"NegativeLeadingZero", R"({"a":-01})", "at byte 7"},
        {"PlusSign", R"({"a":+1})", "at byte 5 expected a value"},
        {"NoInteger", R"({"a":.5})", "at byte 5 expected a value"},
        {"NoFraction", R"({"a":1.})", "at byte 7 expected a digit after the decimal point"},
        {"NoFractionExponent", R"({"a":1.e5})",
         "at byte 7 expected a digit after the decimal point"},
        {"NoExponent", R"({"a":1e})", "at byte 7 expected a digit in the exponent"},
        {"NoExponentDigits", R"({"a":1e+})", "at byte 8 expected a digit in the exponent"},
        {"TwoPoints", R"({"a":1.2.3})", "at byte 8"},
        {"TwoExponents", R"({"a":1e2e3})", "at byte 8"},
        {"Hexadecimal", R"({"a":0x1f})", "at byte 6"},
        {"LoneMinus", R"({"a":-})", "at byte 6"},
        // Strings
        {"RawNewline", "{\"a\":\"x\ny\"}", "at byte 7 expected an escape sequence for a control"},
        {"RawTab", "{\"a\":\"\t\"}", "at byte 6 expected an escape sequence"},
        {"RawNul", "{\"a\":\"\0\"}"s, "at byte 6 expected an escape sequence"},
        {"RawControlInName", "{\"\x1f\":1}", "at byte 2 expected an escape sequence"},
        {"UnknownEscape", R"({"a":"\x"})", "at byte 7 expected one of"},
        {"UpperCaseU", R"({"a":"\U0041"})", "at byte 7 expected one of"},
        {"ShortHex", R"({"a":"\u00"})", "at byte 10 expected four hexadecimal digits"},
        {"WrongHex", R"({"a":"\u00g0"})", "at byte 10 expected four hexadecimal digits"},
        {"LoneHigh", R"({"a":"\ud800"})",
         "at byte 12 expected the second half of a surrogate pair"},
        {"LoneHighThenText", R"({"a":"\ud800x"})", "at byte 12 expected the second half"},
        {"LoneHighThenEscape", R"({"a":"\ud800\n"})", "at byte 13 expected the second half"},
        {"TwoHighs", R"({"a":"\ud800\ud800"})", "at byte 17 expected the second half"},
        {"HighThenBmp", R"({"a":"\ud800\u0041"})", "at byte 17 expected the second half"},
        {"LoneLow", R"({"a":"\udc00"})", "at byte 11 expected the first half of a surrogate pair"},
        {"LoneSurrogateInName", R"({"\udfff":1})", "at byte 7 expected the first half"},
        // UTF-8 (RFC 3629)
        {"LoneContinuation", "{\"a\":\"\x80\"}", "at byte 6 expected UTF-8"},
        {"Overlong2", "{\"a\":\"\xc0\x80\"}", "at byte 6 expected UTF-8"},
        {"Overlong2b", "{\"a\":\"\xc1\xbf\"}", "at byte 6 expected UTF-8"},
        {"Overlong3", "{\"a\":\"\xe0\x9f\xbf\"}", "at byte 7 expected UTF-8"},
        {"Overlong4", "{\"a\":\"\xf0\x8f\xbf\xbf\"}", "at byte 7 expected UTF-8"},
        {"EncodedSurrogate", "{\"a\":\"\xed\xa0\x80\"}", "at byte 7 expected UTF-8"},
        {"AboveUnicode", "{\"a\":\"\xf4\x90\x80\x80\"}", "at byte 7 expected UTF-8"},
        {"NoSuchLead", "{\"a\":\"\xf5\x80\x80\x80\"}", "at byte 6 expected UTF-8"},
        {"CutCharacter", "{\"a\":\"\xe2\x82\"}", "at byte 8 expected UTF-8, found '\"'"},
        {"CutCharacterInName", "{\"\xc3\":1}", "at byte 3 expected UTF-8"},
        {"Utf8OutsideStrings", "{\"a\":\xc3\xa9}", "at byte 5 expected a value"},
    }),
    [](const auto& test) { return test.param.name; });

TEST(BodyScannerTest, LimitsDepth) {
  const std::string deepest =
      R"({"a":)" + std::string(kMaxBodyDepth - 1, '[') + std::string(kMaxBodyDepth - 1, ']') + "}";
  EXPECT_TRUE(ScanWhole(deepest).status.ok());
  const std::string deeper =
      R"({"a":)" + std::string(kMaxBodyDepth, '[') + std::string(kMaxBodyDepth, ']') + "}";
  EXPECT_THAT(std::string(ToStd(ScanWhole(deeper).status.message())),
              HasSubstr("at byte 132 expected at most 128 nested objects and arrays"));
  const std::string objects = Repeat(R"({"a":)", kMaxBodyDepth + 1);
  EXPECT_EQ(base::TokenOf(ScanWhole(objects).status), ErrorToken::kBadRequest);
}

TEST(BodyScannerTest, LimitsNamesByTheirDecodedSize) {
  const std::string longest(kMaxBodyKeyBytes, 'k');
  EXPECT_TRUE(ScanWhole("{\"" + longest + "\":1}").status.ok());
  EXPECT_TRUE(ScanWhole("{\"" + Repeat("\\u006b", kMaxBodyKeyBytes) + "\":1}").status.ok());
  for (const std::string& body : {"{\"" + longest + "k\":1}", "{\"" + longest + "\\n\":1}",
                                  "{\"" + std::string(1 << 20, 'k')}) {
    for (const std::vector<size_t>& cuts : {std::vector<size_t>{}, EveryByte(body)}) {
      EXPECT_THAT(std::string(ToStd(ScanInPieces(body, cuts).status.message())),
                  HasSubstr("expected a name of at most 1024 bytes"));
    }
  }
}

TEST(BodyScannerTest, LimitsNumbers) {
  const std::string longest(kMaxBodyNumberBytes, '1');
  EXPECT_TRUE(ScanWhole("{\"a\":" + longest + "}").status.ok());
  ExpectSameHoweverSplit("{\"a\":" + longest + "1}");
  EXPECT_THAT(std::string(ToStd(ScanWhole("{\"a\":" + longest + "1}").status.message())),
              HasSubstr("at byte 1029 expected a number of at most 1024 bytes"));
}

// C73: refused or served, but never by recursion and never in more than linear time.
TEST(BodyScannerTest, SurvivesHugeBodies) {
  EXPECT_FALSE(ScanWhole(std::string(100000, '[')).status.ok());
  EXPECT_FALSE(ScanWhole("{\"a\":" + std::string(100000, '[')).status.ok());
  EXPECT_FALSE(ScanWhole("{\"a\":1" + std::string(1000000, '0') + "}").status.ok());
  std::string keys = "{";
  for (int i = 0; i < 1000000; ++i) keys += "\"k\":1,";
  keys.back() = '}';
  EventTrace trace;
  BodyScanner scanner(trace);
  EXPECT_TRUE(scanner.Feed(keys).ok());
  EXPECT_TRUE(scanner.Finish().ok());
}

// Long enough for every way in which strings are read: plain runs, blocks of escapes, characters of
// every length on every border.
std::string LongText() {
  std::string text;
  for (int i = 0; i < 12; ++i) {
    text +=
        std::string(static_cast<size_t>(i * 7 % 12), 'a') + "\\n\\u00e9\\\\\\\"é€😀\\ud83d\\ude00";
    if (i % 6 == 5) text += std::string(300, 'b') + "世界" + std::string(300, 'c');
  }
  return text;
}

TEST(BodyScannerKernelsTest, SayTheSameOfLongTextHoweverSplit) {
  const std::string body = "{\"a\":\"" + LongText() + "\",\"b\":\"" + LongText() + "\"}";
  for (const StringForm form : {StringForm::kDecoded, StringForm::kRaw}) {
    const Scan bytes = ScanInPieces(body, EveryByte(body), form, PortableStringKernels());
    ASSERT_TRUE(bytes.status.ok()) << bytes.status;
    for (const StringKernels* kernels : AvailableStringKernels()) {
      for (size_t cut = 0; cut <= body.size(); ++cut) {
        ASSERT_EQ(ScanInPieces(body, {cut}, form, *kernels).events, bytes.events)
            << kernels->name << " cut at " << cut;
      }
    }
  }
}

// The same error, at the same byte, after the same events.
TEST(BodyScannerKernelsTest, SayTheSameOfAnErrorAnywhereInLongText) {
  static constexpr std::string_view kWrong = "\x01\xff\x80\xe4\\\"d";
  const std::string good = "{\"a\":\"" + LongText() + "\"}";
  for (size_t at = 6; at < good.size() - 2; ++at) {
    // Two kinds at each place: the text repeats itself, and the build with sanitizers is slow.
    for (const char wrong : {kWrong[at % kWrong.size()], kWrong[(at * 3 + 1) % kWrong.size()]}) {
      std::string body = good;
      body[at] = wrong;
      const Scan bytes = ScanInPieces(body, EveryByte(body), {}, PortableStringKernels());
      for (const StringKernels* kernels : AvailableStringKernels()) {
        const Scan whole = ScanInPieces(body, {}, {}, *kernels);
        ASSERT_EQ(whole.status, bytes.status) << kernels->name << " at " << at;
        ASSERT_EQ(whole.events, bytes.events) << kernels->name << " at " << at;
      }
    }
  }
}

// Counts, and keeps nothing.
class CountingSink : public EventTrace {
 public:
  absl::Status OnStringPiece(std::string_view piece, bool last) override {
    ++count;
    bytes += piece.size();
    data = piece.data();
    return absl::OkStatus();
  }
  size_t count = 0;
  size_t bytes = 0;
  const char* data = nullptr;
};

TEST(BodyScannerTest, PassesPlainTextWithoutCopies) {
  const std::string body = "{\"a\":\"" + std::string(50 << 20, 'A') + "\"}";
  CountingSink sink;
  BodyScanner scanner(sink);
  ASSERT_TRUE(scanner.Feed(body).ok());
  EXPECT_TRUE(scanner.Finish().ok());
  EXPECT_EQ(sink.count, 1u);
  EXPECT_EQ(sink.data, body.data() + 6);
  EXPECT_EQ(sink.bytes, size_t{50} << 20);
  EXPECT_EQ(scanner.offset(), body.size());
}

TEST(BodyScannerTest, GathersEscapesIntoLargePieces) {
  const std::string body = "{\"a\":\"" + Repeat("word\\n\\u4e16", 1 << 16) + "\"}";
  CountingSink sink;
  BodyScanner scanner(sink);
  ASSERT_TRUE(scanner.Feed(body).ok());
  EXPECT_TRUE(scanner.Finish().ok());
  EXPECT_EQ(sink.bytes, size_t{8} << 16);
  EXPECT_LT(sink.count, sink.bytes / 3000);
}

// C76's worst form: quadratic work here would outlast the test's time limit.
TEST(BodyScannerTest, TakesAByteAtATimeInLinearTime) {
  const std::string body = "{\"a\":\"" + Repeat("\\u0041\xe2\x82\xac", 1 << 20) + "\"}";
  CountingSink sink;
  BodyScanner scanner(sink);
  for (const char& byte : body) ASSERT_TRUE(scanner.Feed({&byte, 1}).ok());
  EXPECT_TRUE(scanner.Finish().ok());
  EXPECT_EQ(sink.bytes, size_t{4} << 20);
}

TEST(BodyScannerTest, RawFormKeepsEscapesEachAsAPieceOfItsOwn) {
  const Scan scan = ScanWhole(R"({"a\n":"x\"\u00e9y\ud83d\ude00\/é"})", StringForm::kRaw);
  ASSERT_TRUE(scan.status.ok()) << scan.status;
  EXPECT_EQ(scan.pieces,
            (std::vector<std::string>{"x", "\\\"", "\\u00e9", "y", "\\ud83d\\ude00", "\\/", "é"}));
  EXPECT_THAT(scan.events, HasSubstr(R"(key:"a\x0a")"));  // names are decoded all the same
}

TEST(BodyScannerTest, PiecesNeverSplitACharacterOrAnEscape) {
  const std::string body = R"({"a":"é€😀\ud83d\ude00\n"})";
  for (const StringForm form : {StringForm::kDecoded, StringForm::kRaw}) {
    for (const std::string& piece : ScanInPieces(body, EveryByte(body), form).pieces) {
      EXPECT_TRUE(base::IsValidUtf8(piece)) << base::Quoted(piece);
      if (piece.find('\\') != std::string::npos) {
        EXPECT_TRUE(piece == "\\n" || piece == "\\ud83d\\ude00") << piece;
      }
    }
  }
}

TEST(BodyScannerTest, ErrorIsFinal) {
  EventTrace trace;
  BodyScanner scanner(trace);
  const absl::Status error = scanner.Feed("{]");
  EXPECT_FALSE(error.ok());
  EXPECT_EQ(scanner.Feed("}"), error);
  EXPECT_EQ(scanner.Finish(), error);
  EXPECT_EQ(trace.text(), "{");
}

TEST(BodyScannerTest, NamesItsSubjectAndAFarOffset) {
  EventTrace trace;
  BodyScanner scanner(trace, {.subject = "the service's answer"});
  const std::string spaces(1000, ' ');
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(scanner.Feed(spaces).ok());
  EXPECT_EQ(ToStd(scanner.Feed("  x").message()),
            "the service's answer is not valid JSON: at byte 5002 expected { of a JSON object, in "
            "UTF-8 without byte order mark, found 'x'");
}

// Refuses the event of a given number, and fails the test if another one follows.
class RefusingSink : public base::BodySink {
 public:
  explicit RefusingSink(int refused) : refused_(refused) {}
  absl::Status OnObjectBegin() override { return Next(); }
  absl::Status OnObjectEnd() override { return Next(); }
  absl::Status OnArrayBegin() override { return Next(); }
  absl::Status OnArrayEnd() override { return Next(); }
  absl::Status OnKey(std::string_view) override { return Next(); }
  absl::Status OnStringPiece(std::string_view, bool) override { return Next(); }
  absl::Status OnNumber(std::string_view) override { return Next(); }
  absl::Status OnBool(bool) override { return Next(); }
  absl::Status OnNull() override { return Next(); }
  int events() const { return events_; }

 private:
  absl::Status Next() {
    EXPECT_LE(events_, refused_) << "an event after the refusal";
    return events_++ == refused_ ? absl::AbortedError("no") : absl::OkStatus();
  }
  const int refused_;
  int events_ = 0;
};

TEST(BodyScannerTest, SinksErrorEndsTheScanAtThatEvent) {
  for (const std::string& text : {std::string(R"(a\nb€c)"), LongText()}) {
    const std::string body =
        R"({"k\n":")" + text + R"(","l":[1,true,null,{}],"m":")" + text + "\"}";
    RefusingSink all(1 << 20);
    BodyScanner counting(all);
    ASSERT_TRUE(counting.Feed(body).ok());
    ASSERT_GT(all.events(), 10);
    for (int refused = 0; refused < all.events(); ++refused) {
      RefusingSink sink(refused);
      BodyScanner scanner(sink);
      EXPECT_EQ(scanner.Feed(body), absl::AbortedError("no")) << refused;
      EXPECT_EQ(scanner.Finish(), absl::AbortedError("no")) << refused;
      EXPECT_EQ(sink.events(), refused + 1);
    }
  }
}

TEST(BodyTeeTest, EverySinkSeesEveryEventAndTheFirstErrorWins) {
  const std::string body = R"({"a":["x\n",1,true,null,{}]})";
  EventTrace first, second;
  BodyTee tee({&first, &second});
  BodyScanner scanner(tee);
  ASSERT_TRUE(scanner.Feed(body).ok());
  ASSERT_TRUE(scanner.Finish().ok());
  EXPECT_EQ(first.text(), ScanWhole(body).events);
  EXPECT_EQ(second.text(), first.text());

  EventTrace before, after;
  RefusingSink refusing(1);
  BodyTee broken({&before, &refusing, &after});
  BodyScanner stopped(broken);
  EXPECT_EQ(stopped.Feed(body), absl::AbortedError("no"));
  EXPECT_EQ(before.text(), R"({ key:"a")");
  EXPECT_EQ(after.text(), "{");
}

}  // namespace
}  // namespace tao::chat
