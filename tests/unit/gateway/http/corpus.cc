#include "tests/unit/gateway/http/corpus.h"

namespace tao::http {
namespace {

using namespace std::string_literals;  // NULs in the middle of a literal count

const std::string kBody = R"({"model":"m","messages":[]})";  // 27 bytes, 0x1b
const std::string kSmuggled =
    "GET /v1/models HTTP/1.1\r\nHost: g\r\nX-Smuggled: 1\r\n\r\n";  // 51 bytes
const std::string kPost =
    "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\n";
const std::string kGet = "GET /v1/models HTTP/1.1\r\nHost: g\r\n";
const std::string kChat = "POST /v1/chat/completions ";
const std::string kModels = "GET /v1/models ";
const std::string kChatDone = kChat + "27";
const std::string kModelsDone = kModels + "0";

std::string Post(const std::string& fields, const std::string& rest) {
  return kPost + fields + "\r\n" + rest;
}

// A POST in chunks; the body is `wire`.
std::string Chunked(const std::string& wire) {
  return Post("Transfer-Encoding: chunked\r\n", wire);
}

std::string Get(const std::string& fields, const std::string& rest = "") {
  return kGet + fields + "\r\n" + rest;
}

std::string WithTarget(const std::string& target) {
  return "GET " + target + " HTTP/1.1\r\nHost: g\r\n\r\n";
}

std::string WithVersion(const std::string& version) {
  return "GET /v1/models " + version + "\r\nHost: g\r\n\r\n";
}

std::string WithHost(const std::string& host) {
  return "GET /v1/models HTTP/1.1\r\nHost: " + host + "\r\n\r\n";
}

std::string WithMethod(const std::string& method) {
  return method + " /v1/models HTTP/1.1\r\nHost: g\r\n\r\n";
}

class Table {
 public:
  void Add(const std::string& name, std::string bytes, std::string want) {
    cases_.push_back({name, std::move(bytes), std::move(want)});
  }
  // The same outcome for each; the name gets the case's number.
  void AddEach(const std::string& name, const std::vector<std::string>& all,
               const std::string& want) {
    for (size_t i = 0; i < all.size(); ++i) Add(name + "_" + std::to_string(i), all[i], want);
  }
  std::vector<CorpusCase> Take() { return std::move(cases_); }

 private:
  std::vector<CorpusCase> cases_;
};

void AddContentLength(Table& table) {
  const std::string two_lengths = "Content-Length: 0\r\nContent-Length: 51\r\n";
  table.Add("C01_LengthAndChunked",
            Post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n" + kSmuggled),
            "400");
  table.Add("C02_ChunkedAndLength",
            Post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
                 "33\r\n" + kSmuggled + "\r\n0\r\n\r\n"),
            "400");
  table.Add("C03_EqualLengths", Post("Content-Length: 27\r\nContent-Length: 27\r\n", kBody), "400");
  table.Add("C04_TwoLengths", Post(two_lengths, kSmuggled), "400");
  table.Add("C04_TwoLengthsReversed",
            Post("Content-Length: 51\r\nContent-Length: 0\r\n", kSmuggled), "400");
  table.Add("C05_EqualList", Post("Content-Length: 27, 27\r\n", kBody), "400");
  table.Add("C05_List", Post("Content-Length: 27, 5\r\n", kBody), "400");
  for (const std::string& value : {"+27"s,
                                   "-1"s,
                                   "-0"s,
                                   "0x1b"s,
                                   "0o33"s,
                                   "2_7"s,
                                   "27abc"s,
                                   "2 7"s,
                                   "27;"s,
                                   "\"27\""s,
                                   "1e1"s,
                                   "27.0"s,
                                   ""s,
                                   "027"s,
                                   "0000027"s,
                                   "18446744073709551643"s,
                                   "9223372036854775808"s,
                                   std::string(400, '9'),
                                   "27\x0b"s,
                                   "\x0c\x32\x37"s,
                                   "\xa0\x32\x37"s,
                                   "27\0"s}) {
    table.Add("C06toC12_Length_" + value.substr(0, 24),
              Post("Content-Length: " + value + "\r\n", kBody), "400");
  }
  table.Add("C07_EmptyThenLength", Post("Content-Length: \r\nContent-Length: 27\r\n", kBody),
            "400");
  table.Add("C09_LargestLength", Post("Content-Length: 9223372036854775807\r\n", kBody), "more");
  for (const std::string& name : {"Content-Length "s, "Content-Length\t"s, "Content-Length\x0b"s,
                                  "Content-Length\x85"s, "Content-Length\0"s}) {
    table.Add("C10_NameBytes_" + name.substr(14), Post(name + ": 27\r\n", kBody), "400");
  }
  for (const std::string& space : {" "s, "\t"s}) {
    table.Add("C11_LeadingSpace",
              "POST /v1/chat/completions HTTP/1.1\r\n" + space +
                  "Content-Length: 27\r\nHost: g\r\n\r\n" + kBody,
              "400");
  }
  table.Add("C13_UnderscoreLength", Post("Content_Length: 51\r\n", kSmuggled), "400");
  table.Add("C13_UnderscoreEncoding",
            Post("Transfer_Encoding: chunked\r\nContent-Length: 27\r\n", kBody), "400");
  table.Add("C13_UnderscoreRouting", Get("x_tao_Job-ID: 1\r\n"), "400");
  table.Add("C13_UnderscoreRoutingPrefix", Get("X_TAO_whatever_comes_next_and_is_long: 1\r\n"),
            "400");
  table.Add("C13_UnderscoreAuthority", Get("Content_Type: text/plain\r\n"), "400");
  table.Add("C13_OtherUnderscore", Get("my_field: 1\r\n"), kModelsDone);
  table.Add("C14_NeitherOnPost", Post("", ""), kChat + "0");
  table.Add("C15_BodyOnGet", Get("Content-Length: 51\r\n", kSmuggled), kModels + "51");
  for (const std::string& method : {"HEAD"s, "OPTIONS"s, "DELETE"s}) {
    table.Add("C15_BodyOn" + method,
              method + " /v1/models HTTP/1.1\r\nHost: g\r\nContent-Length: 51\r\n\r\n" + kSmuggled,
              method + " /v1/models 51");
  }
}

void AddTransferEncoding(Table& table) {
  const std::string chunks = "1b\r\n" + kBody + "\r\n0\r\n\r\n";
  const auto with = [&chunks](const std::string& lines) { return Post(lines + "\r\n", chunks); };
  table.AddEach("C16_UnknownCoding",
                {with("Transfer-Encoding: xchunked"), with("Transfer-Encoding: gzip, chunked"),
                 with("Transfer-Encoding: cow")},
                "501");
  table.AddEach("C17_NotLast",
                {with("Transfer-Encoding: chunked, identity"),
                 with("Transfer-Encoding: chunked, gzip"), with("Transfer-Encoding: chunked cow")},
                "400");
  table.Add("C17_Identity", with("Transfer-Encoding: identity"), "501");
  table.AddEach("C18_Twice",
                {with("Transfer-Encoding: chunked, chunked"),
                 with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")},
                "400");
  table.AddEach("C19_TwoLines",
                {with("Transfer-Encoding: chunked\r\nTransfer-Encoding: x"),
                 with("Transfer-Encoding: x\r\nTransfer-Encoding: chunked"),
                 with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity")},
                "400");
  for (const std::string& value : {",chunked"s, "chunked,"s, ", ,chunked"s}) {
    table.Add("C20_EmptyElement_" + value, with("Transfer-Encoding: " + value), "400");
    table.Add("C20_EmptyElementAndLength_" + value,
              with("Transfer-Encoding: " + value + "\r\nContent-Length: 27"), "400");
  }
  for (const std::string& value : {"\"chunked\""s, "chunked;q=1"s, "chunked\0"s,
                                   "\x0b"
                                   "chunked"s,
                                   "\x0c"
                                   "chunked"s,
                                   "chunked\x7f"s,
                                   "\xa0"
                                   "chunked"s,
                                   "ch\xd0\xbenked"s, ""s}) {
    table.Add("C21C26_NotChunked_" + value, with("Transfer-Encoding: " + value), "400");
  }
  table.AddEach("C21_OtherTokens",
                {with("Transfer-Encoding: 'chunked'"), with("Transfer-Encoding: chunke")}, "501");
  table.Add("C26_EmptyAndLength", with("Transfer-Encoding: \r\nContent-Length: 27"), "400");
  for (const std::string& name :
       {"Transfer-Encoding "s, "Transfer-Encoding\t"s, " Transfer-Encoding"s, "Transfer Encoding"s,
        "Transfer\r-Encoding"s, "Transfer-\r\nEncoding"s}) {
    table.Add("C22_Name_" + name, with(name + ": chunked"), "400");
  }
  table.AddEach(
      "C23_Folded",
      {with("Transfer-Encoding:\r\n chunked"), with("Transfer-Encoding: chunked\r\n ,identity"),
       with("X: 1\r\n Transfer-Encoding: chunked")},
      "400");
  table.AddEach("C24_BareCrOrLf",
                {with("X: y\rTransfer-Encoding: chunked\r\nContent-Length: 27"),
                 with("X: y\nTransfer-Encoding: chunked")},
                "400");
  table.AddEach("C25_CaseAndSpace",
                {with("Transfer-Encoding: CHUNKED"), with("tRaNsFer-enCoDing: cHuNkeD"),
                 with("Transfer-Encoding:\tchunked \t")},
                kChatDone);
  table.Add("C27_Http10",
            "POST /v1/chat/completions HTTP/1.0\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n" +
                chunks,
            "400");
  table.Add("C28_ChunkedGet", Get("Transfer-Encoding: chunked\r\n", "0\r\n\r\n" + kSmuggled),
            kModelsDone + ", " + kModelsDone);
}

void AddChunks(Table& table) {
  const std::string end = "\r\n0\r\n\r\n";
  for (const std::string& line : {"0x1b"s, "+1b"s, "-1"s, "1_b"s, " 1b"s, "1b "s, "\t1b"s, ""s,
                                  "1bg"s, "g"s, "1b\0"s, "FFFFFFFFFFFFFFFFF"s, "10000000000000000"s,
                                  "8000000000000000"s, std::string(5000, '0') + "1b"}) {
    table.Add("C29C30_SizeLine_" + line.substr(0, 20), Chunked(line + "\r\n" + kBody + end), "400");
  }
  for (const std::string& line :
       {"1b;"s, "1b; "s, "1b;=x"s, "1b;a b"s, "1b;a=\""s, "1b;a="s, "1b;a=b c"s, "1b;a=\"x\"y"s,
        "1b;a "s, "1b;a=b "s, "1b;;a"s, "1b a"s}) {
    table.Add("C31_BadExtension_" + line, Chunked(line + "\r\n" + kBody + end), "400");
  }
  for (const std::string& line : {"1b;a"s, "1b;a=b"s, "1b;a=\"x;y\""s, "1b ;a"s, "1b; a = b ; c"s,
                                  "1b;a=\"\\\"\";b"s, "1B"s, "00000000000000000000000001b"s}) {
    table.Add("C31C37_GoodLine_" + line, Chunked(line + "\r\n" + kBody + end), kChatDone);
  }
  table.AddEach("C32_BareCrOrLf",
                {Chunked("1b;a\n" + kBody + end), Chunked("1b\n" + kBody + end),
                 Chunked("1b;a\rX\r\n" + kBody + end), Chunked("1b\r\rX" + kBody + end),
                 Chunked("1b;\x01\r\n" + kBody + end), Chunked("1b\r" + kBody + end)},
                "400");
  table.Add("C33_LongExtension", Chunked("1b;" + std::string(65536, 'a') + "\r\n" + kBody + end),
            "400");
  std::string padded;
  for (const char c : kBody) padded += "1;" + std::string(16384, 'a') + "\r\n" + c + "\r\n";
  table.Add("C33_LongExtensions", Chunked(padded + "0\r\n\r\n"), "400");
  table.AddEach("C34_DataEnd",
                {Chunked("1b\r\n" + kBody + "0\r\n\r\n"), Chunked("1b\r\n" + kBody + "XX0\r\n\r\n"),
                 Chunked("1b\r\n" + kBody + "\n0\r\n\r\n"), Chunked("5\r\n" + kBody + end)},
                "400");
  for (const std::string& trailer :
       {"X: y"s, "Content-Length: 5"s, "Transfer-Encoding: chunked"s, "Host: e"s,
        "Authorization: z"s, "Connection: close"s, "X-Model: q"s, "X:"s}) {
    table.Add("C35_Trailer_" + trailer,
              Chunked("1b\r\n" + kBody + "\r\n0\r\n" + trailer + "\r\n\r\n" + kSmuggled),
              kChatDone + ", " + kModelsDone);
  }
  const std::string before_trailers = "1b\r\n" + kBody + "\r\n0\r\n";
  table.AddEach(
      "C36_BadTrailer",
      {Chunked(before_trailers + "X: y\n\r\n"), Chunked(before_trailers + "X y\r\n\r\n"),
       Chunked(before_trailers + " X: y\r\n\r\n"), Chunked(before_trailers + "XX" + kSmuggled),
       Chunked(before_trailers + "X: \x01\r\n\r\n"), Chunked(before_trailers + ": y\r\n\r\n"),
       Chunked(before_trailers + "X: y\r\n z\r\n\r\n"), Chunked(before_trailers + "\rX: y\r\n\r\n"),
       Chunked(before_trailers + "\n")},
      "400");
  std::string many;
  while (many.size() < 16384) many += "X: y\r\n";  // 1 MiB is no other case, only slower
  table.Add("C36_ManyTrailers", Chunked(before_trailers + many + "\r\n"), "431");
  table.Add("C37_LongZero", Chunked("1B\r\n" + kBody + "\r\n000\r\n\r\n"), kChatDone);
  table.Add("C38_NoLastChunk", Chunked("1b\r\n" + kBody + "\r\n"), "more");
  table.Add("C38_ShortLength", Post("Content-Length: 100\r\n", kBody), "more");
  table.Add("C40_NotASize", Chunked("INVALID\r\n" + kSmuggled), "400");
  table.Add("C41_Pipelined", Post("Content-Length: 27\r\n", kBody + kSmuggled),
            kChatDone + ", " + kModelsDone);
  table.Add("C42_Close", Post("Content-Length: 27\r\nConnection: close\r\n", kBody + kSmuggled),
            kChatDone);
}

void AddHostAndTarget(Table& table) {
  table.AddEach(
      "C43_Host",
      {"GET /v1/models HTTP/1.1\r\n\r\n", WithHost("g\r\nHost: g"), WithHost("g\r\nHost: h")},
      "400");
  table.Add("C43_Http10WithoutHost", "GET /v1/models HTTP/1.0\r\n\r\n", kModelsDone);
  for (const std::string& host :
       {"a, b"s,    "a,b"s,   "a b"s, "u@g"s,  "g/x"s,  "g?x"s,    "g#x"s,
        "g:99999"s, "g:8x"s,  "g:"s,  "g:0"s,  "[::1"s, "[::1]x"s, "[::g]"s,
        "::1"s,     "g\0.h"s, ""s,    "\xff"s, "g%41"s, ":80"s}) {
    table.Add("C44_Host_" + host, WithHost(host), "400");
  }
  for (const std::string& host :
       {"g:8000"s, "127.0.0.1:1"s, "[::1]:65535"s, "[::1]"s, "A-b.c_d"s}) {
    table.Add("C44_GoodHost_" + host, WithHost(host), kModelsDone);
  }
  table.Add("C45_Absolute", "GET http://g/v1/models HTTP/1.1\r\nHost: evil\r\n\r\n", kModelsDone);
  table.Add("C45_AbsoluteUpperCase", "GET HTTP://g:1/v1/models HTTP/1.1\r\nHost: g\r\n\r\n",
            kModelsDone);
  table.Add("C45_AbsoluteBadHost", "GET http://g/v1/models HTTP/1.1\r\nHost: a b\r\n\r\n", "400");
  table.Add("C45_AbsoluteNoHostField", "GET http://g/v1/models HTTP/1.1\r\n\r\n", "400");
  for (const std::string& target :
       {"http://u:p@g/v1/models"s, "g/v1"s, "?x"s, "*"s, ""s, "http:///v1"s, "http://"s,
        "http:/v1"s, "ftp://g/"s, "http://g:x/v1"s, "g:80"s}) {
    table.Add("C46_Target_" + target, WithTarget(target), "400");
  }
  table.Add("C46_DoubleSlashIsAPath", WithTarget("//evil/v1/models"), "GET //evil/v1/models 0");
  table.Add("P11_OptionsAsterisk", "OPTIONS * HTTP/1.1\r\nHost: g\r\n\r\n", "OPTIONS * 0");
  table.AddEach(
      "C47_Spaces",
      {"GET /v1/models  HTTP/1.1\r\nHost: g\r\n\r\n", "GET  /v1/models HTTP/1.1\r\nHost: g\r\n\r\n",
       "GET\t/v1/models\tHTTP/1.1\r\nHost: g\r\n\r\n",
       " GET /v1/models HTTP/1.1\r\nHost: g\r\n\r\n", "GET /v1/mo dels HTTP/1.1\r\nHost: g\r\n\r\n",
       "GET /v1/models HTTP/1.1 \r\nHost: g\r\n\r\n"},
      "400");
  table.AddEach("C48_Http09", {"GET /v1/models\r\n\r\n", "GET /v1/models\nHTTP/1.1\r\n\r\n"},
                "400");
  table.AddEach("C49_OtherMajor",
                {WithVersion("HTTP/2.0"), WithVersion("HTTP/9.9"), WithVersion("HTTP/0.9")}, "505");
  for (const std::string& version :
       {"HTTP/1"s, "HTTP/01.1"s, "HTTP/1.10"s, "HTTP/1.1x"s, "http/1.1"s, "HTTP /1.1"s,
        "HTTP/4294967297.1"s, "ICY/1.1"s, "HTTP/1,1"s, "HTTP/1."s, "HTTP/.1"s, "HTTP/+1.1"s}) {
    table.Add("C49_Version_" + version, WithVersion(version), "400");
  }
  table.Add("C49_LaterMinor", WithVersion("HTTP/1.2"), kModelsDone);
  table.Add("C50_Http2Preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505");
  table.AddEach("C51_UnknownMethod",
                {WithMethod("get"), WithMethod("POSTX"), WithMethod(std::string(10240, 'G')),
                 "CONNECT g:80 HTTP/1.1\r\nHost: g:80\r\n\r\n"},
                "501");
  table.AddEach("C51_BadMethod",
                {WithMethod("G\0T"s), WithMethod("GE(T"), WithMethod("\"\""), WithMethod("")},
                "400");
  table.Add("C51_Trace", WithMethod("TRACE"), "TRACE /v1/models 0");
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool refused =
        byte <= 0x20 || byte >= 0x7f || "\"<>\\^`{|}#"s.find(c) != std::string::npos;
    if (refused) {
      table.Add("C52_TargetByte_" + std::to_string(byte), WithTarget("/v1/models?a="s + c), "400");
    }
  }
  for (const std::string& target :
       {"/v1/../v1/models"s, "/v1/%2e%2e/x"s, "/v1/.%2E/x"s, "/v1/models/."s, "/v1/models%00"s,
        "/v1/models%0d%0aX:%20y"s, "/v1/models%2f.."s, "/v1/..%5c/x"s, "/v1/..;/x"s, "/%zz"s,
        "/v1/%4"s, "/v1/%"s, "/v1/models?a=%zz"s, "/v1/models%7f"s}) {
    table.Add("C53_Path_" + target, WithTarget(target), "400");
  }
  table.Add("C53_EmptySegment", WithTarget("//v1/models"), "GET //v1/models 0");
  table.Add("C53_EncodedLetter", WithTarget("/%761/models"), kModelsDone);
  table.Add("C53_Overlong", WithTarget("/v1/%c0%af"), "GET /v1/%C0%AF 0");
  table.Add("P12_KeptEscapes", WithTarget("/v1/models/a%2fb+c;d?%2e=+;"),
            "GET /v1/models/a%2Fb+c;d 0");
  table.Add("C54_LongTarget", WithTarget("/" + std::string(17000, 'a')), "414");
  table.Add("C54_8000", WithTarget("/v1/models?" + std::string(8000, 'a')), kModelsDone);
}

void AddFields(Table& table) {
  std::string many;
  for (int i = 0; i < 5000; ++i) many += "X: 1\r\n";
  table.AddEach("C55_TooLarge",
                {Get("X: " + std::string(102400, 'a') + "\r\n"),
                 Get(std::string(102400, 'X') + ": 1\r\n"), Get(many)},
                "431");
  for (const std::string& line : {"X[]: 1"s, "X Y: 1"s, "X(: 1"s, "X\x01: 1"s, "X\xc3: 1"s, ": v"s,
                                  "NoColon"s, ":"s, "\0: v"s}) {
    table.Add("C56_Line_" + line, Get(line + "\r\n"), "400");
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool allowed = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
    table.Add("C57_ValueByte_" + std::to_string(byte), Get("X: a"s + c + "b\r\n"),
              allowed ? kModelsDone : "400");
  }
  table.AddEach("C58_Folded", {Get("X: a\r\n b\r\n"), Get("X: a\r\n\tb\r\n"), Get("X: a\r\n \r\n")},
                "400");
  table.Add("C59_LeadingCrlf", "\r\n" + Get(""), kModelsDone);
  std::string crlfs;
  for (int i = 0; i < 1024; ++i) crlfs += "\r\n";
  table.AddEach("C59_LeadingLines", {crlfs, "\n\n\n" + Get(""), "\r" + Get(""), "\n" + Get("")},
                "400");
  const auto with_ends = [](const std::string& line_end) {
    return "GET /v1/models HTTP/1.1" + line_end + "Host: g" + line_end + line_end;
  };
  table.AddEach(
      "C60_LineEnds",
      {with_ends("\n"), with_ends("\r"), with_ends("\n\r"), with_ends("\r\r\n"),
       "GET /v1/models HTTP/1.1\r\nHost: g\n\r\n", "GET /v1/models HTTP/1.1\r\nHost: g\r\n\n"},
      "400");
  table.AddEach("C61_HeadEnd",
                {kGet + "X: 1\r\n\rZGET /evil HTTP/1.1\r\nHost: g\r\n\r\n", kGet + "X: 1\r\n\n"},
                "400");
  table.Add("C64_ExpectedBody", Post("Expect: 100-continue\r\nContent-Length: 51\r\n", kSmuggled),
            kChat + "51");
  table.AddEach(
      "C65_ProtectedOption",
      {Get("Connection: Content-Length\r\n"), Get("Connection: Host, Authorization\r\n"),
       Get("Connection: close, transfer-encoding\r\n"), Get("Connection: X-TAO-Job-ID\r\n"),
       Get("Connection: x-tao-anything\r\n"), Get("Connection: close\r\nConnection: host\r\n"),
       Get("Connection: a b\r\n"), Get("Connection: \"close\"\r\n")},
      "400");
  table.Add("C65_OtherOption", Get("Connection: TE, x-model, , \r\n"), kModelsDone);
  table.Add("C66_UpgradeIgnored",
            Get("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, "
                "HTTP2-Settings\r\n"),
            kModelsDone);
  std::string tiny;
  for (int i = 0; i < 500; ++i) tiny += "1\r\nx\r\n";
  table.Add("C76_TinyChunks", Chunked(tiny + "0\r\n\r\n"), kChat + "500");
}

}  // namespace

const std::vector<CorpusCase>& RequestCorpus() {
  static const std::vector<CorpusCase> corpus = [] {
    Table table;
    AddContentLength(table);
    AddTransferEncoding(table);
    AddChunks(table);
    AddHostAndTarget(table);
    AddFields(table);
    return table.Take();
  }();
  return corpus;
}

}  // namespace tao::http
