#include "nearlite/retrieval/ranking_model.h"

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"

namespace nearlite {
namespace {

constexpr std::string_view kOrigin = "db_";
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kAliases = {
    std::pair{"embedding_age", "age"}, std::pair{"vector_similarity", "similarity"},
    std::pair{"workflow_frequency", "exec_freq"}, std::pair{"prior_hit_count", "prior_hits"}};

double value_of(const std::map<std::string, double>& values, const std::string& feature) {
  if (const auto found = values.find(feature); found != values.end()) return found->second;
  for (const auto& [name, other] : kAliases) {
    const auto found = name == feature ? values.find(std::string(other)) : values.end();
    if (found != values.end()) return found->second;
  }
  return 0;
}

/// [[a, b]] -> [a, b]
const nlohmann::json& inner(const nlohmann::json& json) {
  return json.is_array() && json.size() == 1 && json[0].is_array() ? json[0] : json;
}

}  // namespace

RankingModel::RankingModel(std::vector<std::string> features, std::vector<double> coefficients,
                           double intercept)
    : features_(std::move(features)),
      coefficients_(std::move(coefficients)),
      intercept_(intercept) {
  if (features_.size() != coefficients_.size()) {
    throw InvalidArgument("the ranking model has " + std::to_string(features_.size()) +
                          " features and " + std::to_string(coefficients_.size()) +
                          " coefficients");
  }
  double sum = intercept_;
  for (const double coefficient : coefficients_) sum += coefficient;
  if (!std::isfinite(sum))
    throw InvalidArgument("the ranking model holds what is no finite number");
}

RankingModel RankingModel::load(const std::filesystem::path& file) {
  const std::string text = read_file(file);
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    const nlohmann::json& intercept = json.at("intercept");
    return {json.at("features").get<std::vector<std::string>>(),
            inner(json.at("coef")).get<std::vector<double>>(),
            intercept.is_array() ? intercept.at(0).get<double>() : intercept.get<double>()};
  } catch (const nlohmann::json::exception&) {
    throw CorruptData(file.string() + " is no ranking model",
                      R"(wanted: {"features": [names], "coef": [numbers], "intercept": number})");
  }
}

double RankingModel::probability(const std::map<std::string, double>& values,
                                 std::string_view origin) const {
  double z = intercept_;
  for (std::size_t i = 0; i < features_.size(); ++i) {
    const std::string& feature = features_[i];
    const double value = feature.starts_with(kOrigin)
                             ? (feature.substr(kOrigin.size()) == origin ? 1 : 0)
                             : value_of(values, feature);
    z += coefficients_[i] * value;
  }
  const double probability = 1 / (1 + std::exp(-z));
  return std::isfinite(probability) ? probability : 1;
}

}  // namespace nearlite
