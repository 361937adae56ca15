#include <CLI/CLI.hpp>
#include <charconv>
#include <map>
#include <optional>

#include "../backfill_run.h"
#include "../command_line.h"
#include "../model_choice.h"
#include "../search_output.h"
#include "../store_selection.h"
#include "../text_input.h"
#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "nearlite/service/retriever.h"

namespace nearlite::cli {
namespace {

struct SearchArguments {
  StoreArguments stores;
  std::vector<std::string> positionals;  // [DB]... QUESTION
  RetrievalOptions retrieval;
  std::vector<std::string> fields;
  std::string mode = "hybrid";
  std::string scope = "all";
  std::optional<std::string> max_age;
  bool exact = false;
  bool refresh = false;
  bool explain = false;
};

/// A failure that all stores share, as the error of the whole command.
class SharedFailure : public Error {
 public:
  explicit SharedFailure(const StoreFailure& failure)
      : Error(failure.store + ": " + failure.message, failure.hint),
        type_(failure.type),
        exit_code_(failure.exit_code) {}
  const char* type() const noexcept override { return type_.c_str(); }
  int exit_code() const noexcept override { return exit_code_; }

 private:
  std::string type_;
  int exit_code_;
};

/// "90s", "15m", "12h", "30d"; a bare number is seconds.
std::chrono::seconds age_of(const std::string& text) {
  static const std::map<std::string_view, std::int64_t> kUnits = {
      {"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86'400}};
  constexpr std::int64_t kMost = 1'000'000'000;
  std::int64_t number = -1;
  const char* end = text.data() + text.size();
  const auto [unit_begin, error] = std::from_chars(text.data(), end, number);
  const auto unit = kUnits.find(std::string_view(unit_begin, end));
  if (error != std::errc{} || number < 0 || number > kMost || unit == kUnits.end())
    throw InvalidArgument("--max-age \"" + text + "\" is no age", "90s, 15m, 12h or 30d");
  return std::chrono::seconds(number * unit->second);
}

std::string take_question(SearchArguments& arguments) {
  auto& positionals = arguments.positionals;
  const bool only_a_file = positionals.size() == 1 && positionals.front() != "-" &&
                           is_existing_file(positionals.front());
  if (positionals.empty() || only_a_file) {
    throw InvalidArgument("no question given", "nearlite search [DB]... \"QUESTION\"");
  }
  std::string question = positionals.back();
  positionals.pop_back();
  arguments.stores.files = std::move(positionals);
  return question == "-" ? read_standard_input() : question;
}

/// Says which rows the answer cannot know, after the answer was printed: counting them reads the
/// whole table.
void tell_unsearched(const Context& context, const SelectedStore& selected, const Store& store) {
  if (context.options.quiet || !store.source_changed_since_backfill()) return;
  const Freshness freshness = store.freshness();
  const std::size_t unsearched = freshness.missing + freshness.stale_text + freshness.stale_model;
  if (unsearched == 0) return;
  context.note(selected.entry.name + ": " + with_separators(unsearched) + " of " +
               with_separators(freshness.rows) + (unsearched == 1 ? " rows is" : " rows are") +
               " not searched yet; " + selected.refresh_command(context) + " refreshes");
}

struct OpenStore {
  const SelectedStore* selected;
  std::shared_ptr<Store> store;
};

/// Opens what can be opened; the others become failures of the result.
std::vector<OpenStore> open_stores(std::span<const SelectedStore> selected,
                                   std::vector<StoreFailure>& failures) {
  std::vector<OpenStore> open;
  for (const SelectedStore& store : selected) {
    try {
      open.push_back({&store, store.open()});
    } catch (const std::exception&) {
      failures.push_back(failure_in_flight(store.entry.name));
    }
  }
  return open;
}

int search(Context& context, SearchArguments arguments) {
  const std::string question = take_question(arguments);
  arguments.retrieval.mode = search_mode_of(arguments.mode);
  if (arguments.exact) arguments.retrieval.recall = 1.0;
  arguments.retrieval.fields = split_list(arguments.fields);
  RowSelection& rows = arguments.retrieval.rows;
  rows.scope = scope_of(arguments.scope);
  if (arguments.max_age) rows.max_age = age_of(*arguments.max_age);
  const auto selected = select_stores(context, arguments.stores, store_settings(context));
  if (selected.empty()) {
    throw NotFound("there is no store to search in " +
                       std::filesystem::absolute(context.data_folder()).lexically_normal().string(),
                   "nearlite index FILE makes a database searchable");
  }
  if (arguments.refresh) {
    BackfillSettings quiet;
    quiet.text_on_stdout = false;
    offer_missing_models(context, selected);
    const BackfillOutcome outcome = run_backfill(context, selected, quiet);
    if (outcome.exit_code > 128) return outcome.exit_code;
  }
  std::vector<StoreFailure> failures;
  const auto open = open_stores(selected, failures);
  std::vector<std::shared_ptr<Store>> stores;
  for (const OpenStore& one : open) {
    if (arguments.retrieval.mode != SearchMode::kKeyword)
      require_model(context, one.store->options().model_name);
    stores.push_back(one.store);
  }
  RetrievalResult result;
  if (!stores.empty()) {
    vector_service::Retriever retriever(stores, system_clock(), context.log());
    result = retriever.search(question, arguments.retrieval);
  }
  for (StoreFailure& failure : failures) {
    result.complete = false;
    result.incomplete_reason +=
        (result.incomplete_reason.empty() ? "store " : "; store ") + failure.store + " failed";
    result.failures.push_back(std::move(failure));
  }
  if (result.stores.empty()) throw SharedFailure(result.failures.front());
  put_result(context, result, arguments.explain, arguments.retrieval.min_confidence);
  for (const OpenStore& one : open) {
    try {
      tell_unsearched(context, *one.selected, *one.store);
    } catch (const Error&) {
      continue;  // the answer stands; the store's failure was told
    }
  }
  return result.failures.empty() ? 0 : 5;
}

}  // namespace

void add_search_command(CLI::App& app, Context& context, Action& action) {
  auto arguments = std::make_shared<SearchArguments>();
  CLI::App& command = add_command(
      app, "search", "Answer a question from one file or from every store of the data folder",
      "  nearlite search app.db \"how do I reset my password?\"\n"
      "  nearlite search \"disk full\" --db error --db bot -k 5 --json\n"
      "  nearlite search app.db '\"disk full\" -docker ENOSPC'  (a phrase, no docker, a code)\n"
      "  nearlite search app.db \"upload failed\" --where \"created > '2026-01-01'\"\n"
      "  nearlite search \"disk full\" --store error --kind telemetry --max-age 30d --scope local\n"
      "  echo \"upload failed\" | nearlite search app.db -");
  command
      .add_option("QUESTION", arguments->positionals,
                  "[DB]... and the question, which comes last (-: from stdin)")
      ->type_name(" ");
  add_store_options(command, arguments->stores);
  RetrievalOptions& retrieval = arguments->retrieval;
  add_count(command, "-n,-k,--limit", retrieval.k, 1, 10'000, "Hits (default 10)");
  command.add_option("--where", retrieval.where, "An SQL condition over the columns of the table")
      ->type_name("SQL");
  add_choice(command, "--mode", arguments->mode, {"hybrid", "vector", "keyword"},
             "By meaning and words (default), by meaning, or by words alone");
  auto* recall = add_number(command, "--recall", retrieval.recall, 0.01, 1.0,
                            "Share of the true neighbors asked for (default 0.99)");
  command.add_flag("--exact", arguments->exact, "As --recall 1")->excludes(recall);
  command.add_option("--kind", retrieval.rows.kinds, "Only records of this kind; may be repeated")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("KIND");
  command
      .add_option("--max-age", arguments->max_age,
                  "Only rows that were updated, or else embedded, so long ago at most: 90s, 15m, "
                  "12h, 30d")
      ->type_name("AGE");
  add_choice(command, "--scope", arguments->scope, {"all", "local", "global"},
             "Whose rows: all (default), of this instance, or of the others");
  command
      .add_option("--instance", retrieval.rows.own,
                  "The source_menace_id of this instance (default: that of rows without one)")
      ->type_name("ID");
  add_number(command, "--min-confidence", retrieval.min_confidence, 0, 1,
             "Leave out hits below it");
  add_list(command, "--fields", arguments->fields, "Further columns to show, separated by commas")
      ->type_name("A,B");
  command.add_flag("--distinct", retrieval.distinct,
                   "Fold rows that say nearly the same into the best of them");
  command.add_flag("--refresh", arguments->refresh, "Embed what is new or changed first");
  command.add_flag("--explain", arguments->explain,
                   "Say what each hit's score is made of, how it was found, and what was left out");
  command.callback([arguments, &context, &action] {
    action = [arguments, &context] { return search(context, *arguments); };
  });
}

}  // namespace nearlite::cli
