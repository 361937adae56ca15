#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <fstream>
#include <set>

#include "../command_line.h"
#include "../json.h"
#include "../model_choice.h"
#include "../output.h"
#include "../store_selection.h"
#include "nearlite/base/error.h"
#include "nearlite/retrieval/evaluation.h"
#include "nearlite/retrieval/search_stores.h"

namespace nearlite::cli {
namespace {

constexpr std::size_t kDepth = 100;
constexpr std::size_t kRecallDepth = 10;
constexpr std::array kModes = {SearchMode::kVector, SearchMode::kKeyword, SearchMode::kHybrid};

struct EvalArguments {
  StoreArguments stores;
  std::string queries;
  std::string qrels;
  std::string run;
  std::vector<std::string> fail_below;
};

using Ranking = std::vector<std::pair<std::string, double>>;  // document and score, best first

struct ModeReport {
  std::vector<RankingQuality> qualities;  // by question
  std::vector<double> ndcg() const {
    std::vector<double> values;
    for (const RankingQuality& quality : qualities) values.push_back(quality.ndcg_10);
    return values;
  }
};

struct Report {
  std::vector<std::string> ids;  // of the questions that have a judgement
  std::array<ModeReport, kModes.size()> modes;
  double index_recall_10 = 0;

  RankingQuality mean(SearchMode mode) const {
    return mean_of(modes[static_cast<std::size_t>(std::ranges::find(kModes, mode) - kModes.begin())]
                       .qualities);
  }
};

Ranking ranking_of(Store& store, const std::string& question, SearchMode mode, std::size_t k,
                   double recall) {
  RetrievalOptions options;
  options.k = k;
  options.mode = mode;
  options.recall = recall;
  options.snippet_bytes = 1;
  Store* stores[] = {&store};
  const RetrievalResult result = search_stores(stores, question, options);
  if (!result.failures.empty()) {
    const StoreFailure& failure = result.failures.front();
    throw Unavailable(failure.store + ": " + failure.message, failure.hint);
  }
  Ranking ranking;
  for (const RetrievalHit& hit : result.hits) ranking.emplace_back(hit.key.display(), hit.score);
  return ranking;
}

std::vector<std::string> documents_of(const Ranking& ranking) {
  std::vector<std::string> documents;
  for (const auto& [document, score] : ranking) documents.push_back(document);
  return documents;
}

/// The share of the exact ten that the search as it is used found too.
double shared(const Ranking& found, const Ranking& exact) {
  if (exact.empty()) return 1;
  std::set<std::string> wanted;
  for (std::size_t i = 0; i < std::min(kRecallDepth, exact.size()); ++i)
    wanted.insert(exact[i].first);
  std::size_t hits = 0;
  for (std::size_t i = 0; i < std::min(kRecallDepth, found.size()); ++i)
    hits += wanted.contains(found[i].first) ? 1 : 0;
  return static_cast<double>(hits) / static_cast<double>(wanted.size());
}

void write_run(std::ofstream& out, const std::string& id, const Ranking& ranking) {
  std::size_t rank = 0;
  for (const auto& [document, score] : ranking) {
    out << id << " Q0 " << document << ' ' << ++rank << ' ' << score << " nearlite\n";
  }
}

Report evaluate(Store& store, const EvalArguments& arguments) {
  const auto queries = read_queries(arguments.queries);
  const auto qrels = read_qrels(arguments.qrels);
  std::ofstream run;
  if (!arguments.run.empty()) {
    run.open(arguments.run);
    if (!run) throw InvalidArgument("cannot write " + arguments.run);
  }
  Report report;
  for (const auto& [id, question] : queries) {
    const auto judged = qrels.find(id);
    if (judged == qrels.end()) continue;
    report.ids.push_back(id);
    for (std::size_t i = 0; i < kModes.size(); ++i) {
      const double recall = RetrievalOptions{}.recall;
      const Ranking ranking = ranking_of(store, question, kModes[i], kDepth, recall);
      report.modes[i].qualities.push_back(quality_of(documents_of(ranking), judged->second));
      if (run.is_open() && kModes[i] == SearchMode::kHybrid) write_run(run, id, ranking);
      if (kModes[i] != SearchMode::kVector) continue;
      const Ranking exact = ranking_of(store, question, kModes[i], kRecallDepth, 1.0);
      report.index_recall_10 += shared(ranking, exact);
    }
  }
  if (report.ids.empty()) {
    throw InvalidArgument("no question of " + arguments.queries + " has a judgement in " +
                          arguments.qrels);
  }
  report.index_recall_10 /= static_cast<double>(report.ids.size());
  if (run.is_open() && !run.flush()) throw Unavailable("cannot write " + arguments.run);
  return report;
}

/// "ndcg@10" is that of hybrid; "vector.mrr@10" names the mode too.
double metric_of(const Report& report, const std::string& name) {
  if (name == "index_recall@10") return report.index_recall_10;
  const std::size_t dot = name.find('.');
  const SearchMode mode =
      dot == std::string::npos ? SearchMode::kHybrid : search_mode_of(name.substr(0, dot));
  const std::string metric = dot == std::string::npos ? name : name.substr(dot + 1);
  const RankingQuality quality = report.mean(mode);
  if (metric == "ndcg@10") return quality.ndcg_10;
  if (metric == "recall@100") return quality.recall_100;
  if (metric == "mrr@10") return quality.mrr_10;
  throw InvalidArgument("there is no metric \"" + name + "\"",
                        "ndcg@10, recall@100, mrr@10 (of hybrid; vector.ndcg@10 of another mode), "
                        "index_recall@10");
}

struct Limit {
  std::string metric;
  double least = 0;
};

std::vector<Limit> limits_of(const EvalArguments& arguments) {
  std::vector<Limit> limits;
  for (const std::string& text : arguments.fail_below) {
    const std::size_t equal = text.find('=');
    char* end = nullptr;
    const std::string value = equal == std::string::npos ? "" : text.substr(equal + 1);
    const double least = std::strtod(value.c_str(), &end);
    if (value.empty() || *end != '\0' || least < 0 || least > 1) {
      throw InvalidArgument("--fail-below " + text + ": wanted METRIC=X with X from 0 to 1",
                            "--fail-below ndcg@10=0.4");
    }
    limits.push_back({text.substr(0, equal), least});
    metric_of(Report{}, limits.back().metric);  // known?
  }
  return limits;
}

Json json_of(const RankingQuality& quality) {
  return {
      {"ndcg@10", quality.ndcg_10}, {"recall@100", quality.recall_100}, {"mrr@10", quality.mrr_10}};
}

PairedDifference hybrid_against(const Report& report, std::size_t mode) {
  return paired_difference(report.modes.back().ndcg(), report.modes[mode].ndcg());
}

void put_json(Context& context, const Report& report) {
  Json json = {{"queries", report.ids.size()}};
  for (const SearchMode mode : kModes)
    json[std::string(search_mode_name(mode))] = json_of(report.mean(mode));
  json["index_recall@10"] = report.index_recall_10;
  for (const std::size_t mode : {std::size_t{0}, std::size_t{1}}) {
    const PairedDifference difference = hybrid_against(report, mode);
    json["differences"]["hybrid-" + std::string(search_mode_name(kModes[mode]))] = {
        {"ndcg@10", difference.mean},
        {"low", difference.low},
        {"high", difference.high},
        {"p_value", difference.p_value}};
  }
  Json& queries = json["per_query"] = Json::array();
  for (std::size_t i = 0; i < report.ids.size(); ++i) {
    Json one = {{"query", report.ids[i]}};
    for (std::size_t mode = 0; mode < kModes.size(); ++mode) {
      one[std::string(search_mode_name(kModes[mode]))] = report.modes[mode].qualities[i].ndcg_10;
    }
    queries.push_back(std::move(one));
  }
  context.put_json(json);
}

void put_text(Context& context, const Report& report) {
  std::array<char, 160> line{};
  std::snprintf(line.data(), line.size(), "%-8s  %8s  %10s  %8s", "", "nDCG@10", "recall@100",
                "MRR@10");
  context.out.line(line.data());
  for (const SearchMode mode : kModes) {
    const RankingQuality quality = report.mean(mode);
    std::snprintf(line.data(), line.size(), "%-8s  %8.4f  %10.4f  %8.4f",
                  std::string(search_mode_name(mode)).c_str(), quality.ndcg_10, quality.recall_100,
                  quality.mrr_10);
    context.out.line(line.data());
  }
  for (const std::size_t mode : {std::size_t{0}, std::size_t{1}}) {
    const PairedDifference difference = hybrid_against(report, mode);
    std::snprintf(line.data(), line.size(),
                  "hybrid - %-7s  %+.4f nDCG@10, 95 %% interval %+.4f to %+.4f, p = %.4f",
                  std::string(search_mode_name(kModes[mode])).c_str(), difference.mean,
                  difference.low, difference.high, difference.p_value);
    context.out.line(line.data());
  }
  std::snprintf(line.data(), line.size(), "index recall@10 against exact  %.4f",
                report.index_recall_10);
  context.out.line(line.data());
  context.out.flush();
  context.note(with_separators(report.ids.size()) + " questions with judgements");
}

int eval(Context& context, const EvalArguments& arguments) {
  const auto limits = limits_of(arguments);
  const auto selected = select_stores(context, arguments.stores, store_settings(context));
  if (selected.empty()) throw NotFound("there is no store to evaluate");
  if (selected.size() > 1) {
    throw InvalidArgument("judgements name rows of one store, and several are selected",
                          "--db STORE names one");
  }
  const auto store = selected.front().open();
  require_model(context, store->options().model_name);
  const Report report = evaluate(*store, arguments);
  if (context.options.json || context.options.jsonl) {
    put_json(context, report);
  } else {
    put_text(context, report);
  }
  context.out.flush();
  int code = 0;
  for (const Limit& limit : limits) {
    const double value = metric_of(report, limit.metric);
    if (value >= limit.least) continue;
    std::array<char, 96> text{};
    std::snprintf(text.data(), text.size(), " is %.4f, below %.4f", value, limit.least);
    context.warn(limit.metric + text.data());
    code = 5;
  }
  return code;
}

}  // namespace

void add_eval_command(CLI::App& app, Context& context, Action& action) {
  auto arguments = std::make_shared<EvalArguments>();
  CLI::App& command = add_command(
      app, "eval", "Measure how well questions are answered, against judgements of people",
      "  nearlite eval app.db --queries questions.tsv --qrels judged.trec\n"
      "  nearlite eval --db error --queries q.tsv --qrels q.trec --fail-below ndcg@10=0.40");
  add_store_arguments(command, arguments->stores);
  command.add_option("--queries", arguments->queries, "Lines of ID TAB QUESTION")
      ->required()
      ->type_name("FILE");
  command
      .add_option("--qrels", arguments->qrels,
                  "Lines of ID 0 KEY GRADE; a grade above 0 is relevant")
      ->required()
      ->type_name("FILE");
  command.add_option("--run", arguments->run, "Write the hybrid ranking as a TREC run")
      ->type_name("FILE");
  add_list(command, "--fail-below", arguments->fail_below,
           "Exit 5 if METRIC is below X: ndcg@10, recall@100, mrr@10 (of hybrid; vector.ndcg@10 "
           "of a mode), index_recall@10")
      ->type_name("METRIC=X");
  command.callback([arguments, &context, &action] {
    action = [arguments, &context] { return eval(context, *arguments); };
  });
}

}  // namespace nearlite::cli
