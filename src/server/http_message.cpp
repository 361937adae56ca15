#include "nearlite/server/http_message.h"

#include <algorithm>
#include <array>
#include <map>

#include "nearlite/base/names.h"

namespace nearlite::server {
namespace {

constexpr std::string_view kTokenSigns = "!#$%&'*+-.^_`|~";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_token_char(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         kTokenSigns.find(c) != std::string_view::npos;
}
bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, is_token_char);
}
bool is_control(char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; }

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

HeadProblem bad(std::string message) { return {400, std::move(message)}; }

std::optional<HeadProblem> check_request_line(std::string_view line, const HeadLimits& limits) {
  const std::size_t first = line.find(' ');
  const std::size_t second = first == std::string_view::npos ? first : line.find(' ', first + 1);
  if (second == std::string_view::npos) return bad("the request line is not METHOD TARGET VERSION");
  const std::string_view target = line.substr(first + 1, second - first - 1);
  if (target.size() > limits.max_target_bytes)
    return HeadProblem{
        414, "the address is longer than " + std::to_string(limits.max_target_bytes) + " bytes"};
  if (!is_token(line.substr(0, first)) || target.empty() || target.front() != '/')
    return bad("the request line is not METHOD /PATH VERSION");
  if (!std::ranges::all_of(target, [](char c) { return c > 0x20 && c < 0x7f; }))
    return bad("the address holds a character that is not allowed in one");
  const std::string_view version = line.substr(second + 1);
  if (version != "HTTP/1.1" && version != "HTTP/1.0")
    return HeadProblem{505, "this server speaks HTTP/1.1"};
  return std::nullopt;
}

/// Headers that decide where a message ends or who sent it.
constexpr std::array<std::string_view, 6> kOnlyOnce = {
    "host", "content-length", "transfer-encoding", "authorization", "origin", "content-type"};

std::optional<HeadProblem> check_header_line(std::string_view line,
                                             std::map<std::string, std::string>& known) {
  if (line.front() == ' ' || line.front() == '\t') return bad("a header line is folded");
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon)))
    return bad("a header is not NAME: VALUE");
  if (std::ranges::any_of(line, is_control)) return bad("a header holds a control character");
  const std::string name = to_lower_ascii(line.substr(0, colon));
  const auto [place, is_new] = known.emplace(name, trimmed(line.substr(colon + 1)));
  if (!is_new && std::ranges::find(kOnlyOnce, name) != kOnlyOnce.end())
    return bad("the header " + name + " was sent twice");
  return std::nullopt;
}

std::optional<HeadProblem> check_framing(const std::map<std::string, std::string>& headers,
                                         bool http_1_0) {
  const auto length = headers.find("content-length");
  const auto encoding = headers.find("transfer-encoding");
  if (encoding != headers.end()) {
    if (length != headers.end())
      return bad("Content-Length and Transfer-Encoding exclude each other");
    if (to_lower_ascii(encoding->second) != "chunked" || http_1_0)
      return bad("the only transfer encoding is chunked, in HTTP/1.1");
  }
  if (length != headers.end()) {
    const std::string& digits = length->second;
    if (digits.empty() || digits.size() > 18 || !std::ranges::all_of(digits, is_digit))
      return bad("Content-Length is not a number");
  }
  if (!http_1_0 && !headers.contains("host")) return bad("the header Host is missing");
  return std::nullopt;
}

std::optional<HeadProblem> check_line_ends(std::string_view bytes) {
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    if (bytes[at] == '\0') return bad("the head of the request holds a NUL byte");
    if (bytes[at] == '\n' && (at == 0 || bytes[at - 1] != '\r'))
      return bad("a line ends without CR");
    if (bytes[at] == '\r' && at + 1 < bytes.size() && bytes[at + 1] != '\n')
      return bad("CR without LF");
  }
  return std::nullopt;
}

HeadProblem too_large(const HeadLimits& limits) {
  return {431, "the head of the request is larger than " + std::to_string(limits.max_bytes) +
                   " bytes or has more than " + std::to_string(limits.max_headers) + " headers"};
}

}  // namespace

const std::string* HttpRequest::header(std::string_view name) const {
  for (const auto& [known, value] : headers) {
    if (known == name) return &value;
  }
  return nullptr;
}

std::string_view reason_phrase(int status) {
  static const std::map<int, std::string_view> kPhrases = {{200, "OK"},
                                                           {202, "Accepted"},
                                                           {204, "No Content"},
                                                           {304, "Not Modified"},
                                                           {400, "Bad Request"},
                                                           {401, "Unauthorized"},
                                                           {403, "Forbidden"},
                                                           {404, "Not Found"},
                                                           {405, "Method Not Allowed"},
                                                           {408, "Request Timeout"},
                                                           {409, "Conflict"},
                                                           {413, "Content Too Large"},
                                                           {414, "URI Too Long"},
                                                           {415, "Unsupported Media Type"},
                                                           {422, "Unprocessable Content"},
                                                           {424, "Failed Dependency"},
                                                           {429, "Too Many Requests"},
                                                           {431, "Request Header Fields Too Large"},
                                                           {500, "Internal Server Error"},
                                                           {503, "Service Unavailable"},
                                                           {505, "HTTP Version Not Supported"}};
  const auto found = kPhrases.find(status);
  return found == kPhrases.end() ? "Unknown" : found->second;
}

std::optional<HeadProblem> check_partial_head(std::string_view bytes, const HeadLimits& limits) {
  if (const auto problem = check_line_ends(bytes)) return problem;
  const std::size_t line_end = std::min(bytes.find('\r'), bytes.size());
  if (line_end > limits.max_target_bytes + 64)
    return HeadProblem{
        414, "the address is longer than " + std::to_string(limits.max_target_bytes) + " bytes"};
  if (bytes.size() > limits.max_bytes) return too_large(limits);
  return std::nullopt;
}

std::optional<HeadProblem> check_request_head(std::string_view head, const HeadLimits& limits) {
  if (const auto problem = check_partial_head(head, limits)) return problem;
  std::size_t at = head.find("\r\n");
  const std::string_view request_line = head.substr(0, at);
  if (const auto problem = check_request_line(request_line, limits)) return problem;
  std::map<std::string, std::string> headers;
  std::size_t count = 0;
  for (at += 2; at < head.size();) {
    const std::size_t end = head.find("\r\n", at);
    const std::string_view line = head.substr(at, end - at);
    at = end + 2;
    if (line.empty()) break;
    if (++count > limits.max_headers) return too_large(limits);
    if (const auto problem = check_header_line(line, headers)) return problem;
  }
  return check_framing(headers, request_line.ends_with("HTTP/1.0"));
}

std::optional<std::string> percent_decoded(std::string_view text) {
  const auto digit = [](char c) -> int {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::string decoded;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      decoded += text[at];
      continue;
    }
    if (at + 2 >= text.size()) return std::nullopt;
    const int high = digit(text[at + 1]);
    const int low = digit(text[at + 2]);
    if (high < 0 || low < 0 || high + low == 0) return std::nullopt;
    decoded += static_cast<char>(high * 16 + low);
    at += 2;
  }
  return decoded;
}

}  // namespace nearlite::server
