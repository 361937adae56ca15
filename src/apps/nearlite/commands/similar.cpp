#include <CLI/CLI.hpp>

#include "../command_line.h"
#include "../search_output.h"
#include "../store_selection.h"
#include "../text_input.h"
#include "nearlite/base/error.h"
#include "nearlite/base/names.h"

namespace nearlite::cli {
namespace {

struct SimilarArguments {
  StoreArguments stores;
  std::vector<std::string> positionals;  // [DB] KEY
  RetrievalOptions retrieval;
  std::vector<std::string> fields;
  bool explain = false;
};

std::string take_key(SimilarArguments& arguments) {
  auto& positionals = arguments.positionals;
  if (positionals.empty() || positionals.size() > 2 ||
      (positionals.size() == 1 && is_existing_file(positionals.front()))) {
    throw InvalidArgument("wanted one key of a row", "nearlite similar [DB] KEY [--db STORE]");
  }
  std::string key = positionals.back();
  positionals.pop_back();
  arguments.stores.files = std::move(positionals);
  return key;
}

int similar(Context& context, SimilarArguments arguments) {
  const std::string typed = take_key(arguments);
  arguments.retrieval.fields = split_list(arguments.fields);
  const auto selected = select_stores(context, arguments.stores, store_settings(context));
  if (selected.size() != 1) {
    std::vector<std::string> names;
    for (const SelectedStore& store : selected) names.push_back(store.entry.name);
    if (names.empty()) throw NotFound("there is no store to look in");
    throw InvalidArgument("which store the row " + typed + " is in is not said",
                          "--db one of " + join_names(names));
  }
  const auto store = selected.front().open();
  const RecordKey key = stored_key(*store, typed);
  put_result(context, similar_rows(*store, key, arguments.retrieval), arguments.explain,
             arguments.retrieval.min_confidence);
  return 0;
}

}  // namespace

void add_similar_command(CLI::App& app, Context& context, Action& action) {
  auto arguments = std::make_shared<SimilarArguments>();
  CLI::App& command = add_command(app, "similar", "Find the rows that are most like one row",
                                  "  nearlite similar app.db 4711\n"
                                  "  nearlite similar 7 --db error -k 5 --json\n"
                                  "  nearlite similar telemetry:3 --db error");
  command.add_option("KEY", arguments->positionals, "[DB] and the key of the row")->type_name(" ");
  add_store_options(command, arguments->stores);
  RetrievalOptions& retrieval = arguments->retrieval;
  add_count(command, "-n,-k,--limit", retrieval.k, 1, 10'000, "Hits (default 10)");
  command.add_option("--where", retrieval.where, "An SQL condition over the columns of the table")
      ->type_name("SQL");
  add_list(command, "--fields", arguments->fields, "Further columns to show, separated by commas")
      ->type_name("A,B");
  command.add_flag("--distinct", retrieval.distinct,
                   "Fold rows that say nearly the same into the best of them");
  command.add_flag("--explain", arguments->explain, "Say what each hit's score is made of");
  command.callback([arguments, &context, &action] {
    action = [arguments, &context] { return similar(context, *arguments); };
  });
}

}  // namespace nearlite::cli
