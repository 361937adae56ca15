#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "nearlite/base/clock.h"
#include "nearlite/encoder/text_encoder.h"
#include "nearlite/retrieval/search_stores.h"
#include "nearlite/service/log_sink.h"
#include "nearlite/service/metrics.h"

namespace nearlite::vector_service {

/// How many tokens the model makes of a text of any length, special tokens not counted.
std::size_t count_tokens(const TextEncoder& encoder, std::string_view text);

struct ContextRequest {
  std::size_t top_k = 5;  // entries per origin
  std::size_t max_tokens = 800;
  std::string session_id{};               // empty: one is made of the time
  std::vector<std::string> prioritise{};  // origins that come first
  std::vector<std::string>
      exclude_tags{};            // hits whose field "tags" or "tag" names one are left out
  RetrievalOptions retrieval{};  // k is not used
};

struct ContextEntry {
  std::string origin{};
  std::string store{};
  RecordKey key{};
  double score = 0;
  double similarity = 0;
  std::string reason{};
  bool stale = false;
  bool shortened = false;
  std::string desc{};                                   // the passage that answers, cut to fit
  std::vector<std::pair<std::string, Value>> fields{};  // exposed columns, where short
};

struct ContextStats {
  std::size_t tokens = 0;  // of the JSON text
  double wall_time_ms = 0;
  std::size_t prompt_tokens = 0;  // of the question
};

struct BuiltContext {
  /// {"errors":[{...}],"bots":[...]} without blanks: what goes into a prompt. Never more than
  /// max_tokens tokens; equal for equal stores and questions.
  std::string json{};
  std::vector<ContextEntry> entries{};  // grouped as in the text, best first in each group
  std::string session_id{};
  /// origin, "store:key", score: what PatchLogger takes back.
  std::vector<std::tuple<std::string, std::string, double>> vectors{};
  ContextStats stats{};
  bool truncated = false;  // something was cut or left out
  bool complete = true;    // false: a store did not answer
};

/// Builds prompt context out of what was found, with its provenance. For any number of threads.
class ContextBuilder {
 public:
  using Search = std::function<RetrievalResult(
      std::string_view question, const RetrievalOptions& options, const std::string& session_id)>;
  /// `encoder` counts; all references must outlive the object.
  ContextBuilder(Search search, const TextEncoder& encoder, const Clock& clock = system_clock(),
                 LogSink& log = null_log_sink(), MetricsSink& metrics = null_metrics());

  /// Throws InvalidArgument for a blank question and for max_tokens of 0.
  BuiltContext build_context(std::string_view question, const ContextRequest& request = {}) const;
  /// The same under its other name.
  BuiltContext query(std::string_view question, const ContextRequest& request = {}) const {
    return build_context(question, request);
  }

 private:
  std::vector<ContextEntry> entries_of(const RetrievalResult& found,
                                       const ContextRequest& request) const;
  bool fit(std::vector<ContextEntry>& entries, std::size_t max_tokens) const;
  std::size_t tokens_of(const std::vector<ContextEntry>& entries) const;

  Search search_;
  const TextEncoder& encoder_;
  const Clock& clock_;
  LogSink& log_;
  MetricsSink& metrics_;
};

}  // namespace nearlite::vector_service
