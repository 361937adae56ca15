#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nearlite/databases/store.h"
#include "nearlite/retrieval/filter.h"
#include "nearlite/retrieval/governed_hit.h"
#include "nearlite/retrieval/row_selection.h"

namespace nearlite {

/// kHybrid: by vector and by words; kKeyword needs no model.
enum class SearchMode { kHybrid, kVector, kKeyword };
/// "hybrid", "vector", "keyword". Throws InvalidArgument that lists them.
SearchMode search_mode_of(std::string_view name);
std::string_view search_mode_name(SearchMode mode);

struct RetrievalOptions {
  std::size_t k = 10;
  SearchMode mode = SearchMode::kHybrid;
  double recall = 0.99;       // asked share of the true neighbors per store; 1.0: exact
  double min_confidence = 0;  // hits of a calibrated store below it are left out
  bool distinct = false;      // rows that say nearly the same are folded into the best of them
  std::string where{};        // an SQL condition over each store's source table; empty: all rows
  std::vector<FieldFilter> filters{};  // over exposed fields; all have to hold
  RowSelection rows{};                 // of which kind and age, whose
  std::vector<std::string> fields{};   // columns to show beside each store's own
  std::size_t snippet_bytes = 200;
};

/// One thing that speaks for a hit. The contributions of a hit add up to its score.
struct SignalPart {
  std::string signal{};
  double value = 0;   // 0 to 1: the cosine, the share of the greatest BM25, ...
  double weight = 0;  // contribution = weight * value
  double contribution = 0;
};

/// One row that answers the question.
struct RetrievalHit {
  std::size_t rank = 0;  // 1 is the best
  std::string store;
  std::string origin;  // "bot", "workflow", ...: the label of results
  RecordKey key;
  double score = 0;                  // larger is better; comparable over stores
  double similarity = 0;             // cosine; NaN if the question was not compared by vector
  double distance = 0;               // in the convention of the store's backend; NaN likewise
  std::optional<double> confidence;  // nothing until the store is calibrated
  std::optional<double> level;  // the cosine that the confidence is read from (fusion.h: levels_of)
  bool exact = false;           // says an identifier or a phrase of the question
  bool stale = false;           // the row's text is not the one that was embedded
  std::string reason;
  std::map<std::string, double> signals;
  std::vector<SignalPart> parts;
  std::vector<std::string> found_by;  // "exact", "annoy", ...: the vectors' path; "keyword"
  std::string snippet;
  std::vector<std::pair<std::string, Value>> fields;
  std::string kind;                         // as it was embedded
  std::string last_updated;                 // as the row said; else when it was embedded
  std::optional<HitGovernance> governance;  // options.rows.governed
  std::vector<RecordKey> folded;  // options.distinct: rows of this store that say nearly the same
};

/// Why a store did not answer: the parts of a nearlite::Error.
struct StoreFailure {
  std::string store;
  std::string type;
  std::string message;
  std::string hint;
  int exit_code = 6;
};
/// The parts of the exception in flight; call it inside a catch block.
StoreFailure failure_in_flight(std::string store);

/// How one store answered.
struct StoreAnswer {
  std::string store;
  std::size_t records = 0;
  std::string path;   // of the vectors: "exact", "annoy", "faiss", ...; "keyword": words only
  double recall = 0;  // what the path promises
  std::size_t num_scored = 0;  // vectors whose similarity was computed
  double took_ms = 0;
  // Mean cosine of the question with a sample of the store; nothing: it is not calibrated.
  std::optional<double> background{};
};

struct RetrievalResult {
  std::string question;
  std::size_t k = 0;
  std::vector<RetrievalHit> hits;   // by score (larger first), then store, then key
  std::vector<StoreAnswer> stores;  // that answered, in the order given
  std::vector<StoreFailure> failures;
  bool complete =
      true;  // false: fewer than k rows came back although more exist, or a store failed
  std::string incomplete_reason;
  std::string confidence_note;        // why confidences are missing
  std::vector<std::string> left_out;  // what was found and not returned, and why
  double took_ms = 0;
};

/// Asks every store and merges the answers into one list. The question is encoded once per model;
/// the stores are searched side by side, each by one thread. A store that fails is named in the
/// result and does not stop the others. Throws InvalidArgument if the question is blank or not
/// UTF-8, or k is 0.
RetrievalResult search_stores(std::span<Store* const> stores, std::string_view question,
                              const RetrievalOptions& options);

/// The same for a caller that has encoded its question itself, with the stores' model: by vector
/// alone, whatever options.mode says. A store whose vectors have another number of dimensions
/// fails. Throws InvalidArgument if k is 0, or the vector is empty, zero or holds what is no finite
/// number.
RetrievalResult search_by_vector(std::span<Store* const> stores, std::span<const float> vector,
                                 const RetrievalOptions& options);

/// The rows nearest to one that is stored already, without it: by its stored vector, no model
/// needed. Throws NotFound if the row has no vector, InvalidArgument if k is 0.
RetrievalResult similar_rows(Store& store, const RecordKey& key, const RetrievalOptions& options);

/// The key that a user typed (4711, abc, [1,"a"], telemetry:7), as the store knows it. Throws
/// NotFound if it has no vector of such a row.
RecordKey stored_key(const Store& store, const std::string& typed);

}  // namespace nearlite
