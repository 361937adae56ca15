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

namespace nearlite {

struct RetrievalOptions {
  std::size_t k = 10;
  double recall = 0.99;       // asked share of the true neighbors per store; 1.0: exact
  double min_confidence = 0;  // hits of a calibrated store below it are left out
  std::string where{};        // an SQL condition over each store's source table; empty: all rows
  std::vector<FieldFilter> filters{};  // over exposed fields; all have to hold
  std::vector<std::string> fields{};   // columns to show beside each store's own
  std::size_t snippet_bytes = 200;
};

/// One row that answers the question.
struct RetrievalHit {
  std::size_t rank = 0;  // 1 is the best
  std::string store;
  std::string origin;  // "bot", "workflow", ...: the label of results
  RecordKey key;
  double score = 0;                  // larger is better; comparable over stores
  double similarity = 0;             // cosine
  double distance = 0;               // in the convention of the store's backend
  std::optional<double> confidence;  // nothing until the store is calibrated
  bool stale = false;                // the row's text is not the one that was embedded
  std::string reason;
  std::map<std::string, double> signals;
  std::string snippet;
  std::vector<std::pair<std::string, Value>> fields;
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
  std::string path;  // "exact", "annoy", "faiss"
  double recall = 0;
  double took_ms = 0;
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
  std::string confidence_note;  // why confidences are missing
  double took_ms = 0;
};

/// Asks every store and merges the answers into one list. The question is encoded once per model;
/// the stores are searched side by side, each by one thread. A store that fails is named in the
/// result and does not stop the others. Throws InvalidArgument if the question is blank or not
/// UTF-8, or k is 0.
RetrievalResult search_stores(std::span<Store* const> stores, std::string_view question,
                              const RetrievalOptions& options);

}  // namespace nearlite
