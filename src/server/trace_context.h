#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace nearlite::server {

/// Which trace a request belongs to (W3C Trace Context): 32 and 16 hex digits.
struct TraceContext {
  std::string trace_id{};
  std::string span_id{};  // of our own part
};

/// The trace id of a `traceparent` header, or nothing if it is not in the standard's form: a broken
/// one is as good as none.
std::optional<std::string> trace_id_of(std::string_view traceparent);
/// Goes on with the trace of the header (nullptr: none), else begins one.
TraceContext trace_context_of(const std::string* traceparent);

}  // namespace nearlite::server
