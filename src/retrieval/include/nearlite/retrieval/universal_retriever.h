#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nearlite/retrieval/question.h"
#include "nearlite/retrieval/search_stores.h"

namespace nearlite {

/// kNearlite: confidence, or the evidence where a store has none yet. kReference: 1 / (1 + d) with
/// d = sqrt(2 (1 - cosine)), by vector alone.
enum class Scoring { kNearlite, kReference };

/// How a store did so far: shares of its hits that helped, and that did harm.
struct Reliability {
  double win_rate = 0;
  double regret_rate = 0;
  std::size_t sample_count = 0;
  double score() const { return win_rate - regret_rate; }
};

/// One row that answers, with all that is known of it.
struct ResultBundle {
  std::string origin_db{};  // "bot", "workflow", "error", "enhancement", "information", or a name
  std::string store{};      // as in the registry
  std::string record_id{};
  std::vector<std::pair<std::string, Value>> metadata{};
  double score = 0;  // 0 to 1
  std::optional<double> confidence{};
  double similarity = 0;  // cosine; NaN if it was not compared by vector
  std::string reason{};
  std::string snippet{};
  std::map<std::string, double> signals{};    // frequency, roi, usage, deploy, as the store says
  std::vector<SignalPart> parts{};            // their contributions add up to the score
  std::vector<std::string> linked_records{};  // ids of the other members of its group
  std::string link_path{};                    // "workflow->bot->error"; empty: not linked
};

struct RetrieverHit {  // an entry of RetrieverResult::vectors
  std::string origin{};
  std::string vector_id{};
  double score = 0;
};

struct RetrieverResult {
  std::vector<ResultBundle> results{};  // by score (larger first), then store, then key
  std::string session_id{};             // 32 hex digits
  std::vector<RetrieverHit> vectors{};
  std::vector<std::string> fallback_sources{};
  std::vector<StoreFailure> failures{};  // stores that failed, or were too slow
  std::size_t candidates = 0;            // before the cut at top_k
  double took_ms = 0;
};

struct RetrieverOptions {
  Scoring scoring = Scoring::kNearlite;
  std::chrono::milliseconds deadline{2000};          // of one question; 0: none
  std::map<std::string, Reliability> reliability{};  // by origin
  double reliability_threshold = 0;                  // 0: every store counts
  bool fallback_on_low_reliability = true;           // false: stores below are not asked
  std::function<std::string()> new_session{};        // default: random
  /// Called with each result before it is returned: metrics, logs, statistics.
  std::function<void(const RetrieverResult&)> sink{};
};

struct RetrieveOptions {
  std::size_t top_k = 10;
  double link_multiplier = 1.1;    // of linked results; at most 2; 1: none
  std::vector<std::string> dbs{};  // origins or store names to ask; empty: all
};

/// One question to many databases (reference: docs/universal_retriever.md). Stores are asked side
/// by side; one that fails or does not answer in time is named and the others answer; while it is
/// still busy with that question it is not asked the next one. One thread at a time.
class UniversalRetriever {
 public:
  explicit UniversalRetriever(std::vector<std::shared_ptr<Store>> stores,
                              RetrieverOptions options = {});
  ~UniversalRetriever();  // waits for stores that are still busy
  UniversalRetriever(const UniversalRetriever&) = delete;
  UniversalRetriever& operator=(const UniversalRetriever&) = delete;

  /// Adds a store under an origin of the caller's. Throws InvalidArgument if the name is taken.
  void register_db(const std::string& name, std::shared_ptr<Store> store);

  /// By text. Throws InvalidArgument for a blank question, no store of a name, or top_k 0.
  RetrieverResult retrieve(std::string_view question, const RetrieveOptions& options = {});
  /// By vector, used as it is in every store of its dimension.
  RetrieverResult retrieve(std::span<const float> vector, const RetrieveOptions& options = {});
  /// By record: the first store whose vector(record) works; else the stored vector of the record's
  /// id in a store that has one. Throws InvalidArgument if neither.
  RetrieverResult retrieve(const Record& record, const RetrieveOptions& options = {});
  /// The results alone.
  std::vector<ResultBundle> search(std::string_view question, std::size_t top_k = 5);

  const std::map<std::string, Reliability>& reliability_metrics() const noexcept {
    return options_.reliability;
  }

 private:
  struct Source;
  struct Asked;
  struct Gathered;
  RetrieverResult answer(const Question& question, const std::vector<std::vector<float>>& vectors,
                         std::vector<StoreFailure> failures, const RetrieveOptions& options);
  std::vector<Source*> chosen(const RetrieveOptions& options);
  std::vector<bool> ask(const std::vector<Source*>& sources, const std::shared_ptr<Asked>& asked,
                        std::vector<StoreFailure>& failures);
  Gathered gather(const std::vector<Source*>& sources, const std::vector<bool>& started,
                  Asked& asked, std::vector<StoreFailure>& failures);
  std::vector<ResultBundle> best_of(std::vector<ResultBundle> all, std::size_t top_k,
                                    RetrieverResult& result) const;

  RetrieverOptions options_;
  std::vector<std::unique_ptr<Source>> sources_;
};

}  // namespace nearlite
