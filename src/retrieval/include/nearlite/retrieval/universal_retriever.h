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

#include "nearlite/base/clock.h"
#include "nearlite/retrieval/governed_hit.h"
#include "nearlite/retrieval/question.h"
#include "nearlite/retrieval/ranking_model.h"
#include "nearlite/retrieval/retrieval_outcome.h"
#include "nearlite/retrieval/row_selection.h"
#include "nearlite/retrieval/search_stores.h"

namespace nearlite {

/// kNearlite: confidence, or the evidence where a store has none yet, and the signals. kReference:
/// the documented formula, with 1 / (1 + d) for the confidence, d = sqrt(2 (1 - cosine)), by vector
/// alone. kWeighted: the later formula of the original, by RetrievalWeights; also by vector alone.
enum class Scoring { kNearlite, kReference, kWeighted };

/// Of Scoring::kWeighted.
struct RetrievalWeights {
  double similarity = 0.7;
  double context = 0.3;
  double win = 0.1;
  double regret = 0.1;
  double stale_cost = 0.01;
};

/// How a store did so far: shares of its hits that helped, and that did harm.
struct Reliability {
  double win_rate = 0;
  double regret_rate = 0;
  std::size_t sample_count = 0;
  double stale = 0;  // how much of the store is out of date, in a unit that fits stale_cost
  double score() const { return win_rate - regret_rate; }
};

/// The nodes that a node "<origin>:<id>" has an edge to.
using KnowledgeGraph = std::function<std::vector<std::string>(const std::string& node)>;

/// One row that answers, with all that is known of it.
struct ResultBundle {
  std::string origin_db{};  // "bot", "workflow", "error", "enhancement", "information", or a name
  std::string store{};      // as in the registry
  std::string record_id{};
  std::vector<std::pair<std::string, Value>> metadata{};
  double score = 0;  // 0 to 1
  std::optional<double> confidence{};
  double similarity = 0;       // cosine; NaN if it was not compared by vector
  double vector_distance = 0;  // in the convention of the store's backend; NaN likewise
  std::string reason{};
  std::string snippet{};
  std::string kind{};                         // as it was embedded
  std::optional<double> age{};                // seconds since it was last updated
  std::map<std::string, double> signals{};    // frequency, roi, usage, deploy, as the store says
  double context_score = 0;                   // of that signal, 0 to 1 (reference 6.5)
  std::vector<SignalPart> parts{};            // their contributions add up to the score
  std::vector<std::string> linked_records{};  // ids of the other members of its group
  std::string link_path{};                    // "workflow->bot->error"; empty: not linked
  HitGovernance governance{};                 // licence, alerts, whether something was redacted
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
  std::vector<RetrievalOutcome> metrics{};  // of each result
  std::vector<std::string> fallback_sources{};
  std::vector<StoreFailure> failures{};      // stores that failed, or were too slow
  std::vector<std::string> left_out{};       // what was found and not returned, and why
  std::size_t candidates = 0;                // before the cut at top_k
  std::map<std::string, double> store_ms{};  // by origin: what its answer took
  double took_ms = 0;
};

/// A result as plain values, for programs that know no ResultBundle.
struct ConfidentHit {
  std::string source{};
  std::string record_id{};
  std::vector<std::pair<std::string, Value>> item{};
  double score = 0;
  // Of the original's formulas: the score. Of kNearlite: the calibrated probability; nothing where
  // the store has no calibration yet.
  std::optional<double> confidence{};
  std::string reason{};
  std::string license{};
  std::string license_fingerprint{};
  std::vector<SemanticAlert> semantic_alerts{};
  double alignment_severity = 0;
};

struct ConfidentResult {
  std::vector<ConfidentHit> results{};
  std::string session_id{};
  std::vector<RetrieverHit> vectors{};
};

struct RetrieverOptions {
  Scoring scoring = Scoring::kNearlite;
  RetrievalWeights weights{};                        // of kWeighted, as are the next four
  std::shared_ptr<const RankingModel> ranker{};      // null: the one of model_path, if there is one
  std::filesystem::path model_path{};                // one that cannot be read counts as none
  bool enable_model_ranking = true;                  // the model's probability multiplies the score
  bool enable_reliability_bias = true;               // so do win and regret rate and staleness
  std::chrono::milliseconds deadline{2000};          // of one question; 0: none
  std::map<std::string, Reliability> reliability{};  // by origin
  double reliability_threshold = 0;                  // 0: every store counts
  bool fallback_on_low_reliability = true;           // false: stores below are not asked
  KnowledgeGraph knowledge_graph{};                  // instead of the link tables
  bool governed = true;                              // what governance forbids is left out
  double max_alert_severity = 1.0;
  std::function<std::string()> new_session{};  // default: random
  const Clock* clock = nullptr;                // default: system_clock()
  /// Called with each result before it is returned: metrics, logs, statistics.
  std::function<void(const RetrieverResult&)> sink{};
  /// Gives `reliability` anew: once in the constructor, and with each reload_reliability().
  std::function<std::map<std::string, Reliability>()> reliability_source{};
  /// An event bus: calls the handler with each event of the topic. The retriever listens to
  /// `retrieval:feedback` and reloads its reliability; the bus must not call after its end.
  std::function<void(const std::string& topic, std::function<void()> handler)> subscribe{};
};

struct RetrieveOptions {
  std::size_t top_k = 10;
  double link_multiplier = 1.1;    // of linked results; at most 2; 1: none
  std::vector<std::string> dbs{};  // origins or store names to ask; empty: all
  RowSelection rows{};             // `governed` and its limit are those of RetrieverOptions
  std::map<std::string, double> roi_bias{};  // by origin, of kWeighted: multiplies the score
  bool adjust_weights = false;  // kWeighted: win and regret weigh more, the higher their mean rates
};

/// When a store of register_db() is asked: with every question, or only if the others found fewer
/// than top_k.
enum class AskStore { kAlways, kWhenShort };

/// One question to many databases (reference: docs/universal_retriever.md). Stores are asked side
/// by side; one that fails or does not answer in time is named and the others answer; while it is
/// still busy with that question it is not asked the next one. One thread at a time;
/// reload_reliability() and reload_ranker_model() may be called from any.
class UniversalRetriever {
 public:
  explicit UniversalRetriever(std::vector<std::shared_ptr<Store>> stores,
                              RetrieverOptions options = {});
  ~UniversalRetriever();  // waits for stores that are still busy
  UniversalRetriever(const UniversalRetriever&) = delete;
  UniversalRetriever& operator=(const UniversalRetriever&) = delete;

  /// Adds a store under an origin of the caller's. id_fields: of a record that is asked with, which
  /// may name a row of this store. Throws InvalidArgument if the name is taken.
  void register_db(const std::string& name, std::shared_ptr<Store> store,
                   std::vector<std::string> id_fields = {}, AskStore when = AskStore::kAlways);

  /// By text. Throws InvalidArgument for a blank question, no store of a name, or top_k 0.
  RetrieverResult retrieve(std::string_view question, const RetrieveOptions& options = {});
  /// By vector, used as it is in every store of its dimension.
  RetrieverResult retrieve(std::span<const float> vector, const RetrieveOptions& options = {});
  /// By record: the first store whose vector(record) works; else the stored vector of the record's
  /// id in a store that has one. Throws InvalidArgument if neither.
  RetrieverResult retrieve(const Record& record, const RetrieveOptions& options = {});
  /// The results alone.
  std::vector<ResultBundle> search(std::string_view question, std::size_t top_k = 5);
  /// retrieve() with plain values.
  ConfidentResult retrieve_with_confidence(std::string_view question,
                                           const RetrieveOptions& options = {});
  ConfidentResult retrieve_with_confidence(std::span<const float> vector,
                                           const RetrieveOptions& options = {});
  ConfidentResult retrieve_with_confidence(const Record& record,
                                           const RetrieveOptions& options = {});

  std::map<std::string, Reliability> reliability_metrics() const;
  /// Does nothing without options.reliability_source.
  void reload_reliability();
  /// Throws as RankingModel::load; the model in use stays then.
  void reload_ranker_model(const std::filesystem::path& file);

 private:
  struct State;
  ConfidentResult plain(RetrieverResult result) const;

  std::unique_ptr<State> state_;
};

}  // namespace nearlite
