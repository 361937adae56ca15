#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "context.h"
#include "nearlite/databases/store.h"
#include "nearlite/retrieval/calibration.h"
#include "nearlite/retrieval/evaluation.h"
#include "nearlite/retrieval/search_stores.h"

namespace nearlite::cli {

inline constexpr std::array kEvalModes = {SearchMode::kVector, SearchMode::kKeyword,
                                          SearchMode::kHybrid};

/// What the question of a hit begins with in the file of hits, if no row answers it.
inline constexpr char kUnanswerable[] = "unanswerable:";

struct EvalInput {
  std::vector<std::pair<std::string, std::string>> queries{};  // (id, question)
  std::map<std::string, Judgements> qrels{};
  std::vector<std::string> unanswerable{};  // questions that no row answers
  std::string run{};                        // file of the hybrid ranking; empty: none
  std::string hits{};                       // file of the ten best of each question; empty: none
};

struct EvalReport {
  std::vector<std::string> ids;  // of the questions that have a judgement
  std::array<std::vector<RankingQuality>, kEvalModes.size()> modes;  // by question
  double index_recall_10 = 0;
  Calibration calibration;  // of the ten best hybrid hits; no claims: no store is calibrated
  std::size_t unanswerable = 0;
  std::size_t claimed = 0;  // of them: answered with a confidence above 0.5

  RankingQuality mean(SearchMode mode) const;
  PairedDifference hybrid_against(std::size_t mode) const;  // in nDCG@10
};

/// Asks every question that has a judgement in every mode. Documents of judgements are keys as hits
/// show them; of several stores STORE/KEY. Throws InvalidArgument if no question has a judgement or
/// a file cannot be written, Unavailable if a store fails.
EvalReport evaluate(std::span<Store* const> stores, const EvalInput& input);

void put_eval_json(Context& context, const EvalReport& report);
void put_eval_text(Context& context, const EvalReport& report);

}  // namespace nearlite::cli
