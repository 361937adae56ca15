// import and export: vectors in and out.
#include <CLI/CLI.hpp>

#include "../command_line.h"
#include "../store_selection.h"
#include "../vector_files.h"
#include "nearlite/base/error.h"

namespace nearlite::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kRefusalsShown = 5;

struct TransferArguments {
  StoreArguments stores;
  std::string format;
  std::string file;
};

/// The format asked for, else what the name of the file says.
std::string format_of(const TransferArguments& arguments, const std::string& fallback) {
  if (!arguments.format.empty()) return arguments.format;
  const std::string extension = fs::path(arguments.file).extension().string();
  if (extension == ".npy") return "npy";
  if (extension == ".jsonl") return "jsonl";
  if (extension == ".json") return "original-json";
  if (extension == ".db" || extension == ".sqlite") return "sqlite";
  return fallback;
}

int export_vectors(Context& context, const TransferArguments& arguments) {
  const std::string format = format_of(arguments, "jsonl");
  if (format == "original-json")
    throw InvalidArgument("vectors are exported as sqlite, npy or jsonl", "--format jsonl");
  const auto selected = select_stores(context, arguments.stores, store_settings(context));
  if (selected.empty()) throw NotFound("there is no store in " + context.data_folder().string());
  const auto writer = open_vector_writer(format, arguments.file);
  Json stores = Json::array();
  for (const SelectedStore& one : selected) {
    const auto store = one.open();
    std::size_t records = 0;
    std::size_t vectors = 0;
    writer->begin_store(one.entry.name, store->options().model_name);
    store->export_vectors([&](const TransferRecord& record) {
      ++records;
      vectors += record.passages.size();
      writer->add(record);
    });
    stores.push_back({{"store", one.entry.name}, {"records", records}, {"vectors", vectors}});
  }
  writer->finish();
  if (context.options.json) {
    context.put_json({{"file", arguments.file}, {"format", format}, {"stores", stores}});
    return 0;
  }
  for (const Json& store : stores) {
    if (context.options.jsonl) {
      context.put_json(store);
    } else {
      context.out.line(printable(store["store"].get<std::string>()) + ": " +
                       with_separators(store["records"].get<std::size_t>()) + " records, " +
                       with_separators(store["vectors"].get<std::size_t>()) + " vectors to " +
                       printable(arguments.file));
    }
  }
  return 0;
}

void put_import(Context& context, const std::string& store, const ImportResult& result) {
  for (const std::string& note : result.notes) context.note(note);
  if (context.machine_form()) {
    Json refused = Json::array();
    for (const auto& one : result.refusals)
      refused.push_back({{"key", one.key}, {"reason", one.reason}});
    context.put_json({{"store", store},
                      {"imported", result.taken},
                      {"metadata", result.metadata},
                      {"refused", result.refused},
                      {"refused_records", refused}});
    return;
  }
  for (std::size_t i = 0; i < std::min(result.refusals.size(), kRefusalsShown); ++i)
    context.note("refused " + result.refusals[i].key + ": " + result.refusals[i].reason);
  if (result.refused > kRefusalsShown)
    context.note(with_separators(result.refused - kRefusalsShown) + " more; --json lists them");
  context.out.line(
      printable(store) + ": imported the vectors of " + with_separators(result.taken) + " records" +
      (result.metadata > 0 ? " and the metadata of " + with_separators(result.metadata) : "") +
      ", refused " + with_separators(result.refused));
}

int import_vectors(Context& context, const TransferArguments& arguments) {
  const std::string format = format_of(arguments, "jsonl");
  if (format == "sqlite") {
    throw InvalidArgument(
        "vectors of a SQLite table are not copied: the table can be a store",
        "nearlite store add NAME --database " + arguments.file + " --table T --vector COLUMN");
  }
  const auto selected = select_stores(context, arguments.stores, store_settings(context));
  if (arguments.stores.empty() || selected.size() != 1) {
    throw InvalidArgument(
        "vectors go into one store, " + std::to_string(selected.size()) + " are chosen",
        "choose it with --db STORE");
  }
  const auto store = selected.front().open();
  const ImportResult result =
      format == "original-json" ? store->import_original(arguments.file)
                                : store->import_vectors(open_vector_reader(format, arguments.file));
  put_import(context, selected.front().entry.name, result);
  return result.refused > 0 && result.taken == 0 ? 5 : 0;
}

}  // namespace

void add_import_command(CLI::App& app, Context& context, Action& action) {
  auto arguments = std::make_shared<TransferArguments>();
  CLI::App& command =
      add_command(app, "import", "Take vectors, or what an original system knew, into a store",
                  "  nearlite import --db bot --from old/bot_embeddings.json\n"
                  "  nearlite import app.db --db note --from vectors.npy\n"
                  "Taken are vectors of the store's own model whose row still holds the text they "
                  "were made of,\n"
                  "and any of the right size where the store has vectors of its own.");
  add_store_arguments(command, arguments->stores);
  command.add_option("--from", arguments->file, "The file")->required()->type_name("FILE");
  add_choice(command, "--format", arguments->format, {"original-json", "npy", "jsonl", "sqlite"},
             "Default: by the name of the file");
  command.callback([arguments, &context, &action] {
    action = [arguments, &context] { return import_vectors(context, *arguments); };
  });
}

void add_export_command(CLI::App& app, Context& context, Action& action) {
  auto arguments = std::make_shared<TransferArguments>();
  CLI::App& command = add_command(
      app, "export", "Write the vectors of stores to a file",
      "  nearlite export app.db --format npy --out vectors.npy    (keys: vectors.keys.jsonl)\n"
      "  nearlite export --format sqlite --out vectors.db         (the tables of the tool llm)");
  add_store_arguments(command, arguments->stores);
  command.add_option("--out", arguments->file, "The file")->required()->type_name("FILE");
  add_choice(command, "--format", arguments->format, {"sqlite", "npy", "jsonl"},
             "Default: by the name of the file, else jsonl");
  command.callback([arguments, &context, &action] {
    action = [arguments, &context] { return export_vectors(context, *arguments); };
  });
}

}  // namespace nearlite::cli
