#include "trace_context.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <random>

namespace nearlite::server {
namespace {

bool is_hex(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_zero(std::string_view text) {
  return text.find_first_not_of('0') == std::string_view::npos;
}

std::string hex16(std::uint64_t number) {
  std::array<char, 17> digits{};
  std::snprintf(digits.data(), digits.size(), "%016llx", static_cast<unsigned long long>(number));
  return digits.data();
}

/// Names of traces and spans have to differ; nothing depends on their being secret.
std::uint64_t next_number() {
  thread_local std::mt19937_64 engine{std::random_device{}()};
  return engine() | 1U;  // never zero
}

}  // namespace

std::optional<std::string> trace_id_of(std::string_view header) {
  // 00-<trace 32>-<span 16>-<flags 2>; later versions may go on behind another dash.
  if (header.size() < 55 || header[2] != '-' || header[35] != '-' || header[52] != '-')
    return std::nullopt;
  const std::string_view version = header.substr(0, 2);
  if (version == "ff" ||
      (version == "00" ? header.size() != 55 : header.size() > 55 && header[55] != '-'))
    return std::nullopt;
  const std::string_view trace = header.substr(3, 32);
  const std::string_view span = header.substr(36, 16);
  if (!is_hex(version) || !is_hex(trace) || !is_hex(span) || !is_hex(header.substr(53, 2)) ||
      is_zero(trace) || is_zero(span))
    return std::nullopt;
  return std::string(trace);
}

TraceContext trace_context_of(const std::string* traceparent) {
  TraceContext context;
  if (traceparent != nullptr) context.trace_id = trace_id_of(*traceparent).value_or("");
  if (context.trace_id.empty()) context.trace_id = hex16(next_number()) + hex16(next_number());
  context.span_id = hex16(next_number());
  return context;
}

}  // namespace nearlite::server
