#include <CLI/CLI.hpp>

#include "../command_line.h"
#include "../record_key.h"
#include "../store_config.h"
#include "../store_selection.h"
#include "model_change.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/store/metrics_db.h"

namespace nearlite::cli {
namespace {

struct EraseArguments {
  StoreArguments stores;
  std::vector<std::string> positionals;  // [DB] KEY...
  bool forget = false;
  std::size_t wait_seconds = 0;
};

/// A first argument that is an existing file is the database; the rest are keys.
std::vector<std::string> take_keys(const EraseArguments& arguments, StoreArguments& stores) {
  std::vector<std::string> keys = arguments.positionals;
  if (!keys.empty() && is_existing_file(keys.front())) {
    stores.files.push_back(keys.front());
    keys.erase(keys.begin());
  }
  if (keys.empty())
    throw InvalidArgument("no key given", "nearlite erase app.db --db STORE KEY...");
  return keys;
}

SelectedStore one_store(Context& context, const StoreArguments& asked) {
  const auto selected = select_stores(context, asked, store_settings(context));
  if (selected.size() == 1) return selected.front();
  std::string names;
  for (const SelectedStore& store : selected)
    names += (names.empty() ? "" : ", ") + store.entry.name;
  throw InvalidArgument("erase needs one store, and there are " + std::to_string(selected.size()) +
                            (names.empty() ? "" : ": " + names),
                        "name it with --db STORE");
}

/// The reading that the store knows, else the most likely one: the row may be gone for long.
RecordKey key_to_erase(const Store& store, const std::string& typed) {
  const auto readings = key_readings(typed);
  for (const RecordKey& key : readings) {
    if (store.iter_records().find(key) || store.get_vector(key)) return key;
  }
  return readings.front();
}

/// The vectors that --rollback would go back to hold the records too.
void forget_previous_model(Context& context, const SelectedStore& selected, const Store& store,
                           std::span<const RecordKey> keys) {
  const bool known = std::ranges::all_of(keys, [&](const RecordKey& key) {
    return store.get_vector(key) || store.iter_records().find(key);
  });
  if (!known) return;  // erase() will say so
  const StoreConfig config = config_of(context, selected.entry);
  if (drop_previous_model({selected.registry, selected.entry, config.file, config.place}))
    context.note(
        "the vectors before the last change of the model held the records too and are "
        "removed: store set --rollback has nothing to go back to");
}

/// Its statistics name single records.
void forget_statistics(const SelectedStore& selected, std::span<const RecordKey> keys) {
  const auto file = selected.registry->metrics_path(selected.entry);
  if (!stamp_of(file)) return;
  std::vector<std::string> names;
  for (const RecordKey& key : keys) names.push_back(key.display());
  MetricsDb::open(file).forget(selected.entry.class_name, selected.entry.name, names);
}

int erase(Context& context, const EraseArguments& arguments) {
  StoreArguments asked = arguments.stores;
  const std::vector<std::string> typed = take_keys(arguments, asked);
  const SelectedStore selected = one_store(context, asked);
  const auto store = selected.open();
  if (arguments.forget) {
    std::vector<RecordKey> forgotten;
    for (const std::string& key : typed) {
      const auto readings = key_readings(key);
      const auto known = std::ranges::find_if(
          readings, [&](const RecordKey& reading) { return store->forget_erasure(reading); });
      if (known == readings.end())
        throw NotFound("the do-not-embed list of " + store->name() + " has no key " +
                       key.substr(0, 80));
      forgotten.push_back(*known);
    }
    if (context.machine_form()) {
      Json list = Json::array();
      for (const RecordKey& key : forgotten) list.push_back(json_of(key));
      context.put_json({{"store", store->name()}, {"forgotten", list}});
    } else {
      for (const RecordKey& key : forgotten)
        context.out.line(printable(store->name()) + ": " + printable(key.display()) +
                         " may be embedded again");
    }
    return 0;
  }
  std::vector<RecordKey> keys;
  for (const std::string& key : typed) keys.push_back(key_to_erase(*store, key));
  forget_previous_model(context, selected, *store, keys);
  EraseOptions options;
  options.wait = std::chrono::seconds(arguments.wait_seconds);
  options.also = {selected.registry->metrics_path(selected.entry)};
  forget_statistics(selected, keys);
  const EraseResult result = store->erase(keys, options);
  if (context.machine_form()) {
    Json records = Json::array();
    for (const EraseReceipt& receipt : result.records) {
      records.push_back({{"key", json_of(receipt.key)},
                         {"receipt", receipt.key_hash},
                         {"vectors", receipt.vectors},
                         {"windows", receipt.windows},
                         {"shared", receipt.shared},
                         {"erased_at", receipt.erased_at}});
    }
    Json files = Json::array();
    for (const auto& file : result.files) files.push_back(file.string());
    context.put_json({{"store", store->name()},
                      {"erased", records},
                      {"files", files},
                      {"bytes_searched", result.bytes_searched}});
  } else {
    for (const EraseReceipt& receipt : result.records) {
      context.out.line(printable(store->name()) + ": " + printable(receipt.key.display()) +
                       " erased, " + std::to_string(receipt.vectors) +
                       (receipt.vectors == 1 ? " vector" : " vectors") + "; receipt " +
                       receipt.key_hash.substr(0, 16) + ": " + std::to_string(receipt.windows) +
                       " pieces looked for" +
                       (receipt.shared > 0
                            ? ", " + std::to_string(receipt.shared) + " stand in other records too"
                            : ""));
    }
    context.out.line("none of it is left in " + std::to_string(result.files.size()) + " files (" +
                     size_text(result.bytes_searched) + " searched)");
  }
  context.out.flush();
  context.note("the rows themselves stay in " + selected.entry.database.string() +
               "; backfills pass them over until nearlite erase --forget");
  return 0;
}

}  // namespace

void add_erase_command(CLI::App& app, Context& context, Action& action) {
  auto arguments = std::make_shared<EraseArguments>();
  CLI::App& command = add_command(
      app, "erase", "Delete all that is kept of records, provably, and never embed them again",
      "  nearlite erase app.db --db notes 17 18\n"
      "  nearlite check app.db --erased\n"
      "  nearlite erase app.db --db notes --forget 17");
  command.add_option("KEY", arguments->positionals,
                     "[DB] KEY...: keys of records, after their database file");
  add_store_options(command, arguments->stores);
  command.add_flag("--forget", arguments->forget, "Take the keys off the do-not-embed list");
  add_count(command, "--wait", arguments->wait_seconds, 0, 1'000'000,
            "Wait for a backfill that holds the store")
      ->type_name("SECONDS");
  command.callback([arguments, &context, &action] {
    action = [arguments, &context] { return erase(context, *arguments); };
  });
}

}  // namespace nearlite::cli
