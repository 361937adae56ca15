#pragma once

#include <cstddef>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "nearlite/base/clock.h"
#include "nearlite/encoder/text_encoder.h"
#include "nearlite/retrieval/search_stores.h"
#include "nearlite/retrieval/universal_retriever.h"
#include "nearlite/service/context_entry.h"
#include "nearlite/service/log_sink.h"
#include "nearlite/service/metrics.h"
#include "nearlite/service/patch_retriever.h"
#include "nearlite/service/patch_safety.h"

namespace nearlite::vector_service {

/// How many tokens the model makes of a text of any length, special tokens not counted.
std::size_t count_tokens(const TextEncoder& encoder, std::string_view text);

/// Which of the entries go first when the budget is too small: the worst, the oldest, or those of
/// the lowest ROI.
enum class Keep { kBest, kNewest, kRoi };

struct ContextRequest {
  std::size_t top_k = 5;  // entries per group
  std::size_t max_tokens = 800;
  std::string session_id{};               // empty: one is made of the time
  std::vector<std::string> prioritise{};  // groups or origins that come first
  Keep keep = Keep::kBest;
  std::vector<std::string> exclude_tags{};  // rows whose "tags" or "tag" names one are left out
  std::vector<std::string> exclude_strategies{};  // rows whose "strategy_hash" or "strategy" is one
  RetrievalOptions retrieval{};                   // k is not used
};

struct ContextStats {
  std::size_t tokens = 0;  // of the JSON text
  double wall_time_ms = 0;
  std::size_t prompt_tokens = 0;  // of the question
  double patch_confidence = 0;    // similarity of the nearest patch; 0: none
};

struct BuiltContext {
  /// {"errors":[{...}],"bots":[...]} without blanks: what goes into a prompt. Never more than
  /// max_tokens tokens; equal for equal stores, questions and settings.
  std::string json{};
  std::vector<ContextEntry> entries{};  // grouped as in the text, best first in each group
  std::string session_id{};
  /// origin, "store:key", score: what PatchLogger takes back.
  std::vector<std::tuple<std::string, std::string, double>> vectors{};
  ContextStats stats{};
  bool truncated = false;  // something was cut or left out
  bool complete = true;    // false: a store did not answer
};

/// What a prompt is made for.
struct PromptRequest {
  std::string intent{};                       // looked for as well, when given
  std::string error_log{};                    // the same
  std::vector<std::string> latent_queries{};  // further questions behind the one asked
  std::size_t top_k = 5;
  std::string session_id{};
};

struct BuiltPrompt {
  std::string text{};                    // the question, then one example per line
  std::vector<ContextEntry> examples{};  // in that order
  std::size_t tokens = 0;                // of the examples; at most prompt_max_tokens
  std::string session_id{};
};

/// What a ContextBuilder works with beside the search; all of it must outlive the object. Not set:
/// it is done without.
struct ContextParts {
  std::shared_ptr<const Gate> gate{};  // nothing: rows are shown as they are
  PatchSafety* safety = nullptr;
  const PatchRetriever* patches = nullptr;
  WeightStore* weights = nullptr;  // where db_weights come from at the start
  std::function<std::map<std::string, Reliability>()> reliability{};  // by origin
  /// Stores that are behind their rows, and why; asked before each context.
  std::function<std::map<std::string, std::string>()> stale{};
  std::function<void()> rebuild{};  // tried once when there are some
};

/// Builds prompt context out of what was found, with its provenance. For any number of threads.
class ContextBuilder {
 public:
  using Search = std::function<RetrievalResult(
      std::string_view question, const RetrievalOptions& options, const std::string& session_id)>;
  /// `encoder` counts; all references must outlive the object.
  ContextBuilder(Search search, const TextEncoder& encoder, const Clock& clock = system_clock(),
                 LogSink& log = null_log_sink(), MetricsSink& metrics = null_metrics(),
                 ContextSettings settings = {}, ContextParts parts = {});

  /// Throws MalformedPromptError for a blank question, InvalidArgument for max_tokens of 0,
  /// StaleEmbeddingsError when parts.stale names stores and rebuilding did not help.
  BuiltContext build_context(std::string_view question, const ContextRequest& request = {}) const;
  /// The same under its other names.
  BuiltContext build(std::string_view question, const ContextRequest& request = {}) const {
    return build_context(question, request);
  }
  BuiltContext query(std::string_view question, const ContextRequest& request = {}) const {
    return build_context(question, request);
  }
  std::future<BuiltContext> build_async(std::string question, ContextRequest request = {}) const;

  /// Examples for several questions at once, each description once, as many as fit.
  BuiltPrompt build_prompt(std::string_view question, const PromptRequest& request = {}) const;

  /// Other weights of origins from now on; nothing: those of parts.weights again.
  void refresh_db_weights(std::optional<std::map<std::string, double>> weights = std::nullopt);

 private:
  void refuse_stale() const;
  ContextSettings current_settings() const;
  std::vector<ContextEntry> entries_of(const RetrievalResult& found, const ContextRequest& request,
                                       const ContextSettings& settings) const;
  void add_patches(std::string_view question, const ContextRequest& request,
                   std::vector<ContextEntry>& entries, ContextStats& stats) const;

  Search search_;
  const TextEncoder& encoder_;
  const Clock& clock_;
  LogSink& log_;
  MetricsSink& metrics_;
  mutable std::mutex mutex_;  // of settings_.db_weights
  ContextSettings settings_;
  ContextParts parts_;
};

}  // namespace nearlite::vector_service
