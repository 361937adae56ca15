#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "../command_line.h"
#include "../eval_report.h"
#include "../json.h"
#include "../model_choice.h"
#include "../store_selection.h"
#include "nearlite/base/error.h"

namespace nearlite::cli {
namespace {

constexpr char kGoldenName[] = "golden.tsv";

struct EvalArguments {
  StoreArguments stores;
  std::string queries;
  std::string qrels;
  std::string golden;
  std::string unanswerable;
  std::string run;
  std::string hits;
  std::string plot;
  std::vector<std::string> beside;
  std::vector<std::string> fail_below;
};

/// "ndcg@10" is that of hybrid; "vector.mrr@10" names the mode too.
double metric_of(const EvalReport& report, const std::string& name) {
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
    if (value.empty() || *end != '\0' || !(least >= 0 && least <= 1)) {
      throw InvalidArgument("--fail-below " + text + ": wanted METRIC=X with X from 0 to 1",
                            "--fail-below ndcg@10=0.4");
    }
    limits.push_back({text.substr(0, equal), least});
    metric_of(EvalReport{}, limits.back().metric);  // known?
  }
  return limits;
}

/// The golden questions of a project: named, else those of the data folder.
std::filesystem::path golden_file(const Context& context, const EvalArguments& arguments) {
  if (!arguments.golden.empty()) return arguments.golden;
  std::filesystem::path file = context.data_folder() / kGoldenName;
  if (std::filesystem::exists(file)) return file;
  throw InvalidArgument("there are no questions to ask: neither --queries and --qrels, nor " +
                            file.lexically_normal().string(),
                        "--golden FILE with lines of QUESTION TAB KEY");
}

EvalInput read_input(const Context& context, const EvalArguments& arguments) {
  if (arguments.queries.empty() != arguments.qrels.empty())
    throw InvalidArgument("--queries and --qrels belong together");
  EvalInput input;
  if (arguments.queries.empty()) {
    GoldenQuestions golden = read_golden(golden_file(context, arguments));
    input.queries = std::move(golden.queries);
    input.qrels = std::move(golden.qrels);
  } else {
    input.queries = read_queries(arguments.queries);
    input.qrels = read_qrels(arguments.qrels);
  }
  if (!arguments.unanswerable.empty()) {
    for (auto& [id, question] : read_queries(arguments.unanswerable))
      input.unanswerable.push_back(std::move(question));
  }
  input.run = arguments.run;
  input.hits = arguments.hits;
  return input;
}

/// What an earlier run wrote by --hits.
Calibration calibration_of_hits(const std::string& file) {
  std::ifstream in(file);
  if (!in) throw NotFound("there is no file " + file);
  std::vector<Claim> claims;
  std::string line;
  while (std::getline(in, line)) {
    const Json hit = Json::parse(line, nullptr, false);
    if (!hit.is_object() || !hit.contains("confidence") || !hit.contains("relevant"))
      throw InvalidArgument(file + " holds a line that is no hit", "a file that --hits wrote");
    if (!hit["confidence"].is_number() || !hit["relevant"].is_boolean()) continue;
    if (hit.value("query", "").starts_with(kUnanswerable)) continue;
    claims.push_back({hit["confidence"].get<double>(), hit["relevant"].get<bool>()});
  }
  return calibration_of(claims);
}

void write_plot(const EvalArguments& arguments, const std::string& name,
                const Calibration& calibration) {
  std::vector<std::pair<std::string, Calibration>> sets = {{name, calibration}};
  for (const std::string& file : arguments.beside)
    sets.emplace_back(std::filesystem::path(file).stem().string(), calibration_of_hits(file));
  std::ofstream out(arguments.plot);
  out << calibration_plot(sets);
  if (!out.flush()) throw InvalidArgument("cannot write " + arguments.plot);
}

/// 5 if a metric is below its limit, else 0.
int judge(const Context& context, const EvalReport& report, const std::vector<Limit>& limits) {
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

int eval(Context& context, const EvalArguments& arguments) {
  const auto limits = limits_of(arguments);
  const EvalInput input = read_input(context, arguments);
  const auto selected = select_stores(context, arguments.stores, store_settings(context));
  if (selected.empty()) throw NotFound("there is no store to evaluate");
  std::vector<std::shared_ptr<Store>> stores;
  std::vector<Store*> pointers;
  std::string names;
  for (const SelectedStore& one : selected) {
    stores.push_back(one.open());
    pointers.push_back(stores.back().get());
    require_model(context, stores.back()->options().model_name);
    names += (names.empty() ? "" : ", ") + one.entry.name;
  }
  const EvalReport report = evaluate(pointers, input);
  if (!arguments.plot.empty()) write_plot(arguments, names, report.calibration);
  if (context.options.json || context.options.jsonl) {
    put_eval_json(context, report);
  } else {
    put_eval_text(context, report);
  }
  context.out.flush();
  return judge(context, report, limits);
}

}  // namespace

void add_eval_command(CLI::App& app, Context& context, Action& action) {
  auto arguments = std::make_shared<EvalArguments>();
  CLI::App& command = add_command(
      app, "eval", "Measure how well questions are answered, against judgements of people",
      "  nearlite eval app.db --queries questions.tsv --qrels judged.trec\n"
      "  nearlite eval app.db --golden golden.tsv --fail-below ndcg@10=0.80   (in CI)\n"
      "  nearlite eval --db error --queries q.tsv --qrels q.trec --plot confidence.svg\n"
      "Of several stores, keys are written STORE/KEY.");
  add_store_arguments(command, arguments->stores);
  command.add_option("--queries", arguments->queries, "Lines of ID TAB QUESTION")
      ->type_name("FILE");
  command
      .add_option("--qrels", arguments->qrels,
                  "Lines of ID 0 KEY GRADE; a grade above 0 is relevant")
      ->type_name("FILE");
  command
      .add_option("--golden", arguments->golden,
                  "Lines of QUESTION TAB KEY TAB KEY... (default: golden.tsv in the data folder)")
      ->type_name("FILE")
      ->excludes("--queries");
  command
      .add_option(
          "--unanswerable", arguments->unanswerable,
          "Lines of ID TAB QUESTION that no row answers: how many are answered all the same")
      ->type_name("FILE");
  command.add_option("--run", arguments->run, "Write the hybrid ranking as a TREC run")
      ->type_name("FILE");
  command
      .add_option("--hits", arguments->hits,
                  "Write the ten best hits of each question with their confidence, as JSON lines")
      ->type_name("FILE");
  command.add_option("--plot", arguments->plot, "Draw how true confidences are, as SVG")
      ->type_name("FILE");
  add_list(command, "--beside", arguments->beside,
           "Files of --hits of other runs, drawn in the same --plot")
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
