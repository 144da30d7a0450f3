#include "gateway/http/head_writer.h"

#include "gateway/http/grammar.h"

#include <array>
#include <charconv>

namespace tao::http {

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 102:
      return "Processing";
    case 103:
      return "Early Hints";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 203:
      return "Non-Authoritative Information";
    case 204:
      return "No Content";
    case 205:
      return "Reset Content";
    case 206:
      return "Partial Content";
    case 300:
      return "Multiple Choices";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 407:
      return "Proxy Authentication Required";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 424:
      return "Failed Dependency";
    case 425:
      return "Too Early";
    case 426:
      return "Upgrade Required";
    case 428:
      return "Precondition Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 451:
      return "Unavailable For Legal Reasons";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 507:
      return "Insufficient Storage";
    case 508:
      return "Loop Detected";
    default:
      return "Unknown";
  }
}

void HeadWriter::RequestLine(Method method, std::string_view base_path, std::string_view path,
                             std::optional<std::string_view> query) {
  const bool valid = (base_path.empty() || (IsTarget(base_path) && base_path.front() == '/')) &&
                     IsTarget(path) && path.front() == '/' &&
                     (!query.has_value() || query->empty() || IsTarget(*query));
  if (!valid) {
    refused_ = true;
    return;
  }
  out_.append(NameOf(method)).append(" ").append(base_path).append(path);
  if (query.has_value()) out_.append("?").append(*query);
  out_.append(" HTTP/1.1\r\n");
}

void HeadWriter::StatusLine(int status) {
  if (status < 100 || status > 599) {
    refused_ = true;
    return;
  }
  const char digits[] = {static_cast<char>('0' + status / 100),
                         static_cast<char>('0' + status / 10 % 10),
                         static_cast<char>('0' + status % 10)};
  out_.append("HTTP/1.1 ")
      .append(digits, 3)
      .append(" ")
      .append(ReasonPhrase(status))
      .append("\r\n");
}

void HeadWriter::Fields(const FieldList& fields, const FieldMask& kept) {
  for (size_t i = 0; i < fields.size(); ++i) {
    if (!kept.Keeps(i)) continue;
    out_.append(fields[i].name).append(": ").append(fields[i].value).append("\r\n");
  }
}

void HeadWriter::Field(std::string_view name, std::string_view value) {
  if (!IsToken(name) || !IsFieldValue(value)) {
    refused_ = true;
    return;
  }
  out_.append(name).append(": ").append(value).append("\r\n");
}

void HeadWriter::Field(FieldId id, std::string_view value) {
  const std::string_view name = NameOf(id);
  if (name.empty() || !IsFieldValue(value)) {
    refused_ = true;
    return;
  }
  out_.append(name).append(": ").append(value).append("\r\n");
}

void HeadWriter::Field(FieldId id, uint64_t value) {
  std::array<char, 20> digits;  // 2^64-1 has 20
  const char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  Field(id, std::string_view(digits.data(), static_cast<size_t>(end - digits.data())));
}

void HeadWriter::Via(Version received, std::string_view pseudonym) {
  if (!IsToken(pseudonym)) {
    refused_ = true;
    return;
  }
  out_.append(received == Version::kHttp10 ? "Via: 1.0 " : "Via: 1.1 ").append(pseudonym);
  out_.append("\r\n");
}

void HeadWriter::ProxyStatus(std::string_view pseudonym, std::string_view error) {
  if (!IsToken(pseudonym) || !IsToken(error)) {
    refused_ = true;
    return;
  }
  out_.append("Proxy-Status: ").append(pseudonym).append("; error=").append(error).append("\r\n");
}

bool HeadWriter::End() {
  if (refused_) {
    out_.resize(begin_);
    return false;
  }
  out_.append("\r\n");
  return true;
}

}  // namespace tao::http
