#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <set>

#include "../backfill_run.h"
#include "../command_line.h"
#include "../model_choice.h"
#include "../store_selection.h"
#include "../text_input.h"
#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "nearlite/retrieval/snippet.h"
#include "nearlite/service/retriever.h"

namespace nearlite::cli {
namespace {

struct SearchArguments {
  StoreArguments stores;
  std::vector<std::string> positionals;  // [DB]... QUESTION
  RetrievalOptions retrieval;
  std::vector<std::string> fields;
  std::string mode = "vector";
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

std::string field_text(const Value& value) {
  return std::holds_alternative<std::monostate>(value) ? "" : text_of(value);
}

/// The hit's short fields that its snippet does not show already.
std::string fields_line(const RetrievalHit& hit) {
  constexpr std::size_t kLongest = 60;
  std::string line;
  for (const auto& [name, value] : hit.fields) {
    const std::string text = field_text(value);
    if (text.empty() || text.size() > kLongest || hit.snippet.find(text) != std::string::npos)
      continue;
    if (text == hit.key.display()) continue;
    line += (line.empty() ? "" : "  ") + printable(name) + ": " + printable(text);
  }
  return line;
}

/// The snippet with the words of the question in bold.
std::string marked(const std::string& snippet, const std::string& question, bool marks) {
  if (!marks) return printable(snippet);
  std::string text;
  std::size_t at = 0;
  for (const auto [begin, end] : matching_words(snippet, question)) {
    text += printable(snippet.substr(at, begin - at)) + "\x1b[1m" +
            printable(snippet.substr(begin, end - begin)) + "\x1b[0m";
    at = end;
  }
  return text + printable(snippet.substr(at));
}

void put_hit(Context& context, const RetrievalResult& result, const RetrievalHit& hit,
             bool explain) {
  std::array<char, 48> head{};
  std::snprintf(head.data(), head.size(), "%2zu  %.3f  ", hit.rank, hit.score);
  std::string line = head.data() + printable(hit.store) + " " + printable(hit.key.display());
  if (const std::string fields = fields_line(hit); !fields.empty()) line += "  " + fields;
  if (hit.stale) line += "  (changed since it was embedded)";
  context.out.line(line);
  const std::string indent(11, ' ');
  if (!hit.snippet.empty())
    context.out.line(indent + marked(hit.snippet, result.question, context.marks()));
  if (explain) context.out.line(indent + hit.reason);
}

void put_text(Context& context, const RetrievalResult& result, bool explain) {
  for (const RetrievalHit& hit : result.hits) put_hit(context, result, hit, explain);
  context.out.flush();
  std::size_t records = 0;
  std::set<std::string> paths;
  for (const StoreAnswer& store : result.stores) {
    records += store.records;
    paths.insert(store.path);
  }
  const std::vector<std::string> path_list(paths.begin(), paths.end());
  const auto count = [](std::size_t number, const std::string& what) {
    return with_separators(number) + " " + what + (number == 1 ? "" : "s");
  };
  context.note(count(result.hits.size(), "hit") + " from " + count(records, "record") + " in " +
               count(result.stores.size(), "store") + ", " + join_names(path_list) + ", " +
               duration_text(result.took_ms));
  if (!explain) return;
  for (const StoreAnswer& store : result.stores) {
    std::array<char, 32> recall{};
    std::snprintf(recall.data(), recall.size(), "%.3f", store.recall);
    context.note(store.store + ": " + with_separators(store.records) + " records, " + store.path +
                 ", recall " + recall.data() + ", " + duration_text(store.took_ms));
  }
}

Json json_of(const RetrievalHit& hit) {
  Json signals = Json::object();
  for (const auto& [name, value] : hit.signals) signals[name] = value;
  Json fields = Json::object();
  for (const auto& [name, value] : hit.fields) fields[name] = cli::json_of(value);
  return {{"rank", hit.rank},
          {"store", hit.store},
          {"key", cli::json_of(hit.key)},
          {"score", hit.score},
          {"similarity", hit.similarity},
          {"confidence", hit.confidence ? Json(*hit.confidence) : Json(nullptr)},
          {"stale", hit.stale},
          {"reason", hit.reason},
          {"signals", signals},
          {"snippet", hit.snippet},
          {"fields", fields}};
}

Json json_of(const RetrievalResult& result) {
  Json json = {{"query", result.question}, {"k", result.k}, {"complete", result.complete}};
  if (!result.complete) json["incomplete_reason"] = result.incomplete_reason;
  json["took_ms"] = result.took_ms;
  json["confidence_note"] = result.confidence_note;
  Json& stores = json["stores"] = Json::array();
  for (const StoreAnswer& store : result.stores) {
    stores.push_back({{"store", store.store},
                      {"records", store.records},
                      {"path", store.path},
                      {"recall", store.recall},
                      {"took_ms", store.took_ms}});
  }
  for (const StoreFailure& failure : result.failures) {
    stores.push_back(
        {{"store", failure.store},
         {"error",
          {{"type", failure.type}, {"message", failure.message}, {"hint", failure.hint}}}});
  }
  Json& hits = json["hits"] = Json::array();
  for (const RetrievalHit& hit : result.hits) hits.push_back(json_of(hit));
  return json;
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

void put_result(Context& context, const SearchArguments& arguments, const RetrievalResult& result) {
  if (context.options.json) {
    context.put_json(json_of(result));
  } else if (context.options.jsonl) {
    for (const RetrievalHit& hit : result.hits) context.put_json(json_of(hit));
  } else {
    put_text(context, result, arguments.explain);
  }
  context.out.flush();
  for (const StoreFailure& failure : result.failures) {
    context.warn(failure.store + ": " + failure.message +
                 (failure.hint.empty() ? "" : "; " + failure.hint));
  }
  if (!result.complete && result.failures.empty())
    context.note("the list is not complete: " + result.incomplete_reason);
  if (arguments.retrieval.min_confidence > 0) {
    context.note("--min-confidence left nothing out: " + result.confidence_note);
  }
}

int search(Context& context, SearchArguments arguments) {
  if (arguments.mode != "vector") {
    throw InvalidArgument("--mode " + arguments.mode + ": this version searches by vector",
                          "drop --mode");
  }
  const std::string question = take_question(arguments);
  if (arguments.exact) arguments.retrieval.recall = 1.0;
  arguments.retrieval.fields = split_list(arguments.fields);
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
  put_result(context, arguments, result);
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
      "  nearlite search app.db \"upload failed\" --where \"created > '2026-01-01'\"\n"
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
  add_choice(command, "--mode", arguments->mode, {"hybrid", "vector", "keyword"}, "How to search");
  auto* recall = add_number(command, "--recall", retrieval.recall, 0.01, 1.0,
                            "Share of the true neighbors asked for (default 0.99)");
  command.add_flag("--exact", arguments->exact, "As --recall 1")->excludes(recall);
  add_number(command, "--min-confidence", retrieval.min_confidence, 0, 1,
             "Leave out hits below it");
  add_list(command, "--fields", arguments->fields, "Further columns to show, separated by commas")
      ->type_name("A,B");
  command.add_flag("--refresh", arguments->refresh, "Embed what is new or changed first");
  command.add_flag("--explain", arguments->explain,
                   "Say why each hit was found, and how each store was searched");
  command.callback([arguments, &context, &action] {
    action = [arguments, &context] { return search(context, *arguments); };
  });
}

}  // namespace nearlite::cli
