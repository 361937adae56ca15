#include "eval_report.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <set>

#include "json.h"
#include "nearlite/base/error.h"
#include "output.h"

namespace nearlite::cli {
namespace {

constexpr std::size_t kDepth = 100;
constexpr std::size_t kShown = 10;  // of each list, for recall of the index and for confidences
constexpr double kClaims = 0.5;     // confidence above which a hit claims to answer

using Stores = std::span<Store* const>;

RetrievalResult ask(Stores stores, const std::string& question, SearchMode mode, std::size_t k,
                    double recall = RetrievalOptions{}.recall) {
  RetrievalOptions options;
  options.k = k;
  options.mode = mode;
  options.recall = recall;
  options.snippet_bytes = 1;
  RetrievalResult result = search_stores(stores, question, options);
  if (!result.failures.empty()) {
    const StoreFailure& failure = result.failures.front();
    throw Unavailable(failure.store + ": " + failure.message, failure.hint);
  }
  return result;
}

std::vector<std::string> documents_of(Stores stores, const RetrievalResult& result) {
  std::vector<std::string> documents;
  for (const RetrievalHit& hit : result.hits)
    documents.push_back((stores.size() > 1 ? hit.store + "/" : "") + hit.key.display());
  return documents;
}

/// The share of the exact ten that the search as it is used found too.
double shared(const std::vector<std::string>& found, const std::vector<std::string>& exact) {
  if (exact.empty()) return 1;
  const std::set<std::string> wanted(exact.begin(), exact.end());
  std::size_t hits = 0;
  for (std::size_t i = 0; i < std::min(kShown, found.size()); ++i)
    hits += wanted.contains(found[i]) ? 1 : 0;
  return static_cast<double>(hits) / static_cast<double>(wanted.size());
}

class OutFile {
 public:
  explicit OutFile(const std::string& name) : name_(name) {
    if (name.empty()) return;
    out_.open(name);
    if (!out_) throw InvalidArgument("cannot write " + name);
  }
  bool is_wanted() const { return out_.is_open(); }
  std::ofstream& out() { return out_; }
  void close() {
    if (is_wanted() && !out_.flush()) throw Unavailable("cannot write " + name_);
  }

 private:
  std::string name_;
  std::ofstream out_;
};

void write_run(std::ofstream& out, const std::string& id, const RetrievalResult& result,
               const std::vector<std::string>& documents) {
  for (std::size_t i = 0; i < documents.size(); ++i) {
    out << id << " Q0 " << documents[i] << ' ' << i + 1 << ' ' << result.hits[i].score
        << " nearlite\n";
  }
}

/// One line per hit: what a calibration is made of.
void write_hits(std::ofstream& out, const std::string& id, const RetrievalResult& result,
                const std::vector<std::string>& documents, const Judgements& judgements) {
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const RetrievalHit& hit = result.hits[i];
    const auto judged = judgements.find(documents[i]);
    const auto answer = std::ranges::find(result.stores, hit.store, &StoreAnswer::store);
    Json json = {{"query", id},
                 {"document", documents[i]},
                 {"rank", hit.rank},
                 {"similarity", hit.similarity},
                 {"level", hit.level ? Json(*hit.level) : Json(nullptr)},
                 {"background", answer != result.stores.end() && answer->background
                                    ? Json(*answer->background)
                                    : Json(nullptr)},
                 {"confidence", hit.confidence ? Json(*hit.confidence) : Json(nullptr)},
                 {"exact", hit.exact},
                 {"relevant", judged != judgements.end() && judged->second > 0}};
    out << json_text(json) << '\n';
  }
}

void add_claims(const RetrievalResult& result, const std::vector<std::string>& documents,
                const Judgements& judgements, std::vector<Claim>& claims) {
  for (std::size_t i = 0; i < documents.size(); ++i) {
    if (!result.hits[i].confidence) continue;
    const auto judged = judgements.find(documents[i]);
    claims.push_back(
        {*result.hits[i].confidence, judged != judgements.end() && judged->second > 0});
  }
}

Json json_of(const RankingQuality& quality) {
  return {
      {"ndcg@10", quality.ndcg_10}, {"recall@100", quality.recall_100}, {"mrr@10", quality.mrr_10}};
}

Json json_of(const Calibration& calibration) {
  Json bins = Json::array();
  for (const CalibrationBin& bin : calibration.bins)
    bins.push_back(
        {{"hits", bin.claims}, {"confidence", bin.confidence}, {"relevant", bin.relevant}});
  return {{"hits", calibration.claims}, {"error", calibration.error}, {"bins", bins}};
}

template <typename... Values>
void put_line(Context& context, const char* format, Values... values) {
  std::array<char, 160> line{};
  std::snprintf(line.data(), line.size(), format, values...);
  context.out.line(line.data());
}

}  // namespace

RankingQuality EvalReport::mean(SearchMode mode) const {
  const auto place = std::ranges::find(kEvalModes, mode) - kEvalModes.begin();
  return mean_of(modes[static_cast<std::size_t>(place)]);
}

PairedDifference EvalReport::hybrid_against(std::size_t mode) const {
  const auto ndcg = [&](std::size_t of) {
    std::vector<double> values;
    for (const RankingQuality& quality : modes[of]) values.push_back(quality.ndcg_10);
    return values;
  };
  return paired_difference(ndcg(kEvalModes.size() - 1), ndcg(mode));
}

EvalReport evaluate(Stores stores, const EvalInput& input) {
  OutFile run(input.run);
  OutFile hits(input.hits);
  EvalReport report;
  std::vector<Claim> claims;
  for (const auto& [id, question] : input.queries) {
    const auto judged = input.qrels.find(id);
    if (judged == input.qrels.end()) continue;
    report.ids.push_back(id);
    for (std::size_t i = 0; i < kEvalModes.size(); ++i) {
      const RetrievalResult result = ask(stores, question, kEvalModes[i], kDepth);
      const auto documents = documents_of(stores, result);
      report.modes[i].push_back(quality_of(documents, judged->second));
      if (run.is_wanted() && kEvalModes[i] == SearchMode::kHybrid)
        write_run(run.out(), id, result, documents);
      if (kEvalModes[i] != SearchMode::kVector) continue;
      const RetrievalResult exact = ask(stores, question, kEvalModes[i], kShown, 1.0);
      report.index_recall_10 += shared(documents, documents_of(stores, exact));
    }
    const RetrievalResult shown = ask(stores, question, SearchMode::kHybrid, kShown);
    const auto documents = documents_of(stores, shown);
    add_claims(shown, documents, judged->second, claims);
    if (hits.is_wanted()) write_hits(hits.out(), id, shown, documents, judged->second);
  }
  if (report.ids.empty())
    throw InvalidArgument("no question has a judgement", "the first column of both names it");
  report.index_recall_10 /= static_cast<double>(report.ids.size());
  report.calibration = calibration_of(claims);
  for (const std::string& question : input.unanswerable) {
    const RetrievalResult shown = ask(stores, question, SearchMode::kHybrid, kShown);
    ++report.unanswerable;
    report.claimed += std::ranges::any_of(
        shown.hits, [](const RetrievalHit& hit) { return hit.confidence.value_or(0) > kClaims; });
    if (hits.is_wanted())
      write_hits(hits.out(), kUnanswerable + question, shown, documents_of(stores, shown), {});
  }
  run.close();
  hits.close();
  return report;
}

void put_eval_json(Context& context, const EvalReport& report) {
  Json json = {{"queries", report.ids.size()}};
  for (const SearchMode mode : kEvalModes)
    json[std::string(search_mode_name(mode))] = json_of(report.mean(mode));
  json["index_recall@10"] = report.index_recall_10;
  json["calibration"] = report.calibration.claims > 0 ? json_of(report.calibration) : Json(nullptr);
  if (report.unanswerable > 0) {
    json["unanswerable"] = {{"queries", report.unanswerable}, {"claimed", report.claimed}};
  }
  for (const std::size_t mode : {std::size_t{0}, std::size_t{1}}) {
    const PairedDifference difference = report.hybrid_against(mode);
    json["differences"]["hybrid-" + std::string(search_mode_name(kEvalModes[mode]))] = {
        {"ndcg@10", difference.mean},
        {"low", difference.low},
        {"high", difference.high},
        {"p_value", difference.p_value}};
  }
  Json& queries = json["per_query"] = Json::array();
  for (std::size_t i = 0; i < report.ids.size(); ++i) {
    Json one = {{"query", report.ids[i]}};
    for (std::size_t mode = 0; mode < kEvalModes.size(); ++mode)
      one[std::string(search_mode_name(kEvalModes[mode]))] = report.modes[mode][i].ndcg_10;
    queries.push_back(std::move(one));
  }
  context.put_json(json);
}

void put_eval_text(Context& context, const EvalReport& report) {
  put_line(context, "%-8s  %8s  %10s  %8s", "", "nDCG@10", "recall@100", "MRR@10");
  for (const SearchMode mode : kEvalModes) {
    const RankingQuality quality = report.mean(mode);
    put_line(context, "%-8s  %8.4f  %10.4f  %8.4f", std::string(search_mode_name(mode)).c_str(),
             quality.ndcg_10, quality.recall_100, quality.mrr_10);
  }
  for (const std::size_t mode : {std::size_t{0}, std::size_t{1}}) {
    const PairedDifference difference = report.hybrid_against(mode);
    put_line(context, "hybrid - %-7s  %+.4f nDCG@10, 95 %% interval %+.4f to %+.4f, p = %.4f",
             std::string(search_mode_name(kEvalModes[mode])).c_str(), difference.mean,
             difference.low, difference.high, difference.p_value);
  }
  put_line(context, "index recall@10 against exact  %.4f", report.index_recall_10);
  if (report.calibration.claims > 0) {
    put_line(context, "calibration error of the ten best hits  %.4f", report.calibration.error);
  }
  if (report.unanswerable > 0) {
    put_line(context, "unanswerable questions with a confidence above 0.5  %zu of %zu",
             report.claimed, report.unanswerable);
  }
  context.out.flush();
  context.note(with_separators(report.ids.size()) + " questions with judgements");
}

}  // namespace nearlite::cli
