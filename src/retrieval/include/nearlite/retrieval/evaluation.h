#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace nearlite {

/// Document -> grade: above 0 is relevant.
using Judgements = std::map<std::string, int>;

/// nDCG@10, recall@100 and MRR@10 as trec_eval defines them: gain = grade, discount log2(rank + 1).
struct RankingQuality {
  double ndcg_10 = 0;
  double recall_100 = 0;
  double mrr_10 = 0;
};
/// `ranking`: documents, best first, each once. All zeros if nothing is judged relevant.
RankingQuality quality_of(std::span<const std::string> ranking, const Judgements& judgements);
RankingQuality mean_of(std::span<const RankingQuality> qualities);

/// The difference of two systems over the same questions.
struct PairedDifference {
  double mean = 0;  // of a - b
  double low = 0;   // 95 % interval of the mean, by bootstrap
  double high = 0;
  double p_value = 1;  // of no difference, two-sided, by random flips of the signs
};
/// Deterministic: 10,000 rounds with a fixed seed. Throws InvalidArgument if the sizes differ.
PairedDifference paired_difference(std::span<const double> a, std::span<const double> b);

/// (id, question) by lines of `id TAB question`. Throws NotFound, or InvalidArgument with the line.
std::vector<std::pair<std::string, std::string>> read_queries(const std::filesystem::path& file);
/// Question id -> judgements, by lines of `query iteration document grade` (TREC qrels). Throws the
/// same.
std::map<std::string, Judgements> read_qrels(const std::filesystem::path& file);

/// Questions with the rows that answer them, by lines of `question TAB row TAB row ...`; lines that
/// begin with # say nothing. A question's id is the number of its line. Throws the same.
struct GoldenQuestions {
  std::vector<std::pair<std::string, std::string>> queries{};  // (id, question)
  std::map<std::string, Judgements> qrels{};
};
GoldenQuestions read_golden(const std::filesystem::path& file);

}  // namespace nearlite
