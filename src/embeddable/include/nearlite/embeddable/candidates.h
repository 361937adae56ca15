#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nearlite/embeddable/embeddable_db_mixin.h"
#include "nearlite/embeddable/record.h"

namespace nearlite {

/// What to look for before any row is read. The expressions are in the syntax of FTS5.
struct CandidateQuery {
  std::span<const float> vector{};  // empty: by words only
  std::string words{};              // expression; empty: by vector only
  std::string exact{};              // rows that match are marked: identifiers, error codes
  std::string required{};           // only rows that match are taken
  std::string excluded{};           // rows that match are left out
  std::size_t depth = 100;          // records taken from each of the two lists
  double recall = 0.99;
  std::function<bool(const RecordKey&)> filter{};  // empty: all records
  std::vector<std::string> kinds{};                // of records; empty: all
  std::optional<std::int64_t> since{};             // last updated then or later: seconds since 1970
  bool index_only = false;
};

/// A record that may answer, with its best passage.
struct Candidate {
  RecordKey key{};
  std::int64_t slot = 0;              // of the passage to show
  std::optional<float> similarity{};  // cosine of the best passage; nothing: no vector was asked
  std::int64_t nearest_slot = 0;      // of that passage
  float feedback = 0;                 // its cosine with the mean of the best (add_feedback)
  double keyword = 0;           // BM25 of the best passage; 0: no word found, or below `depth`
  std::size_t vector_rank = 0;  // 1 is the best; 0: not found by the vector
  std::size_t keyword_rank = 0;
  bool exact = false;
};

struct CandidateResult {
  std::vector<Candidate> candidates{};  // by vector first, then those that only words found
  std::size_t records = 0;              // with vectors in this store
  std::string path = "exact";           // of the vectors; "none": none were compared
  double recall = 1.0;
  std::size_t num_scored = 0;   // vectors whose similarity was computed
  double greatest_keyword = 0;  // no passage can have more BM25 for these words
  // Mean cosine of the query with a sample of the store; nothing: it has none (small, or never
  // backfilled).
  std::optional<double> background{};
  // After add_feedback: 1 / |question + mean of the best|, both of length 1. 0: there was none.
  double feedback_scale = 0;
  bool has_keywords = false;        // all texts of the store are searched by word
  bool exhausted = false;           // there are no further ones
  std::string incomplete_reason{};  // why vectors could not be compared; empty: all is well
};

/// The order of equally good records: by table, numbers before texts, smaller key first.
bool is_before(const RecordKey& a, const RecordKey& b);

/// A candidate whose row was read again.
struct ReadCandidate {
  std::size_t index = 0;  // of the span given
  RecordHit hit{};
  std::string kind{};          // as it was embedded
  std::string last_updated{};  // the same; else when it was embedded
};

}  // namespace nearlite
