#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace nearlite {

/// A logistic model that says how likely a hit is to help (reference 6.7). Immutable.
class RankingModel {
 public:
  /// Throws InvalidArgument if there are not as many coefficients as features, or one is not
  /// finite.
  RankingModel(std::vector<std::string> features, std::vector<double> coefficients,
               double intercept);
  /// From JSON `{"features": [...], "coef": [...], "intercept": x}`; coef and intercept may stand
  /// in one more list, as scikit-learn writes them. Throws NotFound, CorruptData, InvalidArgument.
  static RankingModel load(const std::filesystem::path& file);

  /// 1 / (1 + e^-z). A feature `db_<origin>` is 1 for that origin; the others are looked up by
  /// name, then by alias (embedding_age is age, vector_similarity similarity, workflow_frequency
  /// exec_freq, prior_hit_count prior_hits), and are 0 where nothing is known. 1 where no number
  /// comes out.
  double probability(const std::map<std::string, double>& values, std::string_view origin) const;

 private:
  std::vector<std::string> features_;
  std::vector<double> coefficients_;
  double intercept_ = 0;
};

}  // namespace nearlite
