#include "nearlite/retrieval/evaluation.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <random>
#include <sstream>

#include "nearlite/base/error.h"

namespace nearlite {
namespace {

constexpr std::size_t kGainDepth = 10;
constexpr std::size_t kRecallDepth = 100;
constexpr std::size_t kRounds = 10'000;

double discounted(double gain, std::size_t rank) {
  return gain / std::log2(static_cast<double>(rank) + 1);
}

std::ifstream open_text(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw NotFound("there is no file " + file.string());
  return in;
}

[[noreturn]] void refuse(const std::filesystem::path& file, std::size_t line,
                         const std::string& wanted) {
  throw InvalidArgument(file.string() + ":" + std::to_string(line) + ": wanted " + wanted);
}

double mean(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

}  // namespace

RankingQuality quality_of(std::span<const std::string> ranking, const Judgements& judgements) {
  std::vector<int> grades;
  for (const auto& [document, grade] : judgements) {
    if (grade > 0) grades.push_back(grade);
  }
  RankingQuality quality;
  if (grades.empty()) return quality;
  std::ranges::sort(grades, std::greater<>());
  double ideal = 0;
  for (std::size_t i = 0; i < std::min(kGainDepth, grades.size()); ++i)
    ideal += discounted(grades[i], i + 1);
  double gained = 0;
  std::size_t found = 0;
  for (std::size_t i = 0; i < std::min(kRecallDepth, ranking.size()); ++i) {
    const auto judged = judgements.find(ranking[i]);
    if (judged == judgements.end() || judged->second <= 0) continue;
    ++found;
    if (i >= kGainDepth) continue;
    gained += discounted(judged->second, i + 1);
    if (quality.mrr_10 == 0) quality.mrr_10 = 1 / static_cast<double>(i + 1);
  }
  quality.ndcg_10 = gained / ideal;
  quality.recall_100 = static_cast<double>(found) / static_cast<double>(grades.size());
  return quality;
}

RankingQuality mean_of(std::span<const RankingQuality> qualities) {
  RankingQuality sum;
  for (const RankingQuality& quality : qualities) {
    sum.ndcg_10 += quality.ndcg_10;
    sum.recall_100 += quality.recall_100;
    sum.mrr_10 += quality.mrr_10;
  }
  const auto count = static_cast<double>(std::max<std::size_t>(qualities.size(), 1));
  return {sum.ndcg_10 / count, sum.recall_100 / count, sum.mrr_10 / count};
}

PairedDifference paired_difference(std::span<const double> a, std::span<const double> b) {
  if (a.size() != b.size()) {
    throw InvalidArgument("paired figures differ in number: " + std::to_string(a.size()) + " and " +
                          std::to_string(b.size()));
  }
  PairedDifference result;
  if (a.empty()) return result;
  std::vector<double> differences(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) differences[i] = a[i] - b[i];
  result.mean = mean(differences);
  std::mt19937_64 random(1);
  std::vector<double> means(kRounds);
  std::size_t as_large = 0;
  for (double& round : means) {
    double drawn = 0;
    double flipped = 0;
    for (const double difference : differences) {
      drawn += differences[random() % differences.size()];
      flipped += (random() & 1) != 0 ? difference : -difference;
    }
    round = drawn / static_cast<double>(differences.size());
    const double tolerance = 1e-12;  // sums in another order
    if (std::abs(flipped / static_cast<double>(differences.size())) >=
        std::abs(result.mean) - tolerance) {
      ++as_large;
    }
  }
  std::ranges::sort(means);
  result.low = means[kRounds / 40];
  result.high = means[kRounds - 1 - kRounds / 40];
  result.p_value = static_cast<double>(as_large + 1) / static_cast<double>(kRounds + 1);
  return result;
}

std::vector<std::pair<std::string, std::string>> read_queries(const std::filesystem::path& file) {
  std::ifstream in = open_text(file);
  std::vector<std::pair<std::string, std::string>> queries;
  std::string line;
  for (std::size_t number = 1; std::getline(in, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    const std::size_t tab = line.find('\t');
    if (tab == std::string::npos || tab == 0) refuse(file, number, "id TAB question");
    queries.emplace_back(line.substr(0, tab), line.substr(tab + 1));
  }
  return queries;
}

std::map<std::string, Judgements> read_qrels(const std::filesystem::path& file) {
  std::ifstream in = open_text(file);
  std::map<std::string, Judgements> qrels;
  std::string line;
  for (std::size_t number = 1; std::getline(in, line); ++number) {
    std::istringstream fields(line);
    std::string query;
    std::string iteration;
    std::string document;
    int grade = 0;
    if (!(fields >> query)) continue;  // a blank line
    if (!(fields >> iteration >> document >> grade))
      refuse(file, number, "query iteration document grade");
    qrels[query][document] = grade;
  }
  return qrels;
}

GoldenQuestions read_golden(const std::filesystem::path& file) {
  std::ifstream in = open_text(file);
  GoldenQuestions golden;
  std::string line;
  for (std::size_t number = 1; std::getline(in, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || line.front() == '#') continue;
    std::istringstream fields(line);
    std::string question;
    std::string row;
    std::getline(fields, question, '\t');
    const std::string id = std::to_string(number);
    while (std::getline(fields, row, '\t')) {
      if (!row.empty()) golden.qrels[id][row] = 1;
    }
    if (question.empty() || !golden.qrels.contains(id)) refuse(file, number, "question TAB row");
    golden.queries.emplace_back(id, question);
  }
  return golden;
}

}  // namespace nearlite
