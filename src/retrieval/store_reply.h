#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nearlite/retrieval/question.h"
#include "nearlite/retrieval/search_stores.h"

namespace nearlite {

/// A candidate of the best ones of a store, read or not: what its place in the list follows from.
struct Place {
  std::optional<double> similarity;
};

/// What one store said: an answer or a failure.
struct StoreReply {
  StoreAnswer answer;
  std::vector<RetrievalHit> hits;           // best first; exact matches before all others
  std::vector<Place> places;                // of the candidates, best first
  std::vector<std::size_t> place_of_hit;    // by hit
  std::vector<std::vector<float>> vectors;  // of the hits, if options.distinct
  std::string model;                        // whose vectors they are
  bool exhausted = true;                    // there are no further hits
  std::size_t num_forbidden = 0;            // left out by governance
  std::string incomplete_reason;
  std::optional<StoreFailure> failure;
};

/// Asks one store. vector: the question as its model reads it; empty for words only.
/// `left_out`: a row that is not to be returned.
StoreReply ask_store(const Store& store, const Question& question, std::span<const float> vector,
                     const RetrievalOptions& options,
                     const std::optional<RecordKey>& left_out = std::nullopt);

/// One list out of all replies, cut at options.k, with what is missing said.
RetrievalResult merge_replies(std::vector<StoreReply> replies, const RetrievalOptions& options);

}  // namespace nearlite
