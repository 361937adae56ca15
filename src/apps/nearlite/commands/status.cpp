#include <CLI/CLI.hpp>

#include "../command_line.h"
#include "../store_selection.h"
#include "nearlite/base/error.h"
#include "nearlite/retrieval/search_stores.h"

namespace nearlite::cli {
namespace {

struct StoreStatus {
  std::string store;
  std::optional<Freshness> freshness;
  std::optional<StoreFailure> failure;
};

Json json_of(const StoreStatus& status) {
  Json json = {{"store", status.store}};
  if (status.failure) {
    json["error"] = nearlite::json_of(*status.failure, Audience::kOwner);
    return json;
  }
  json.update(nearlite::json_of(*status.freshness));
  return json;
}

std::string table_of(const std::vector<StoreStatus>& stores) {
  using Align = TextTable::Align;
  TextTable table;
  table.column("STORE");
  for (const char* title :
       {"ROWS", "FRESH", "TEXT", "MODEL", "MISSING", "BLOCKED", "EMPTY", "SKIPPED", "ORPHAN"}) {
    table.column(title, Align::kRight);
  }
  table.column("LAG", Align::kRight);
  table.column("BACKEND");
  table.column("INDEX", Align::kRight);
  table.column("SIDECAR", Align::kRight);
  table.column("LAST BACKFILL");
  for (const StoreStatus& status : stores) {
    if (!status.freshness) continue;
    const Freshness& f = *status.freshness;
    std::vector<std::string> cells = {printable(status.store)};
    for (const std::size_t count : {f.rows, f.fresh, f.stale_text, f.stale_model, f.missing,
                                    f.blocked, f.empty, f.skipped, f.orphan}) {
      cells.push_back(with_separators(count));
    }
    cells.push_back(f.oldest_lag_seconds ? duration_text(*f.oldest_lag_seconds * 1000) : "-");
    cells.push_back(f.backend);
    cells.push_back(size_text(f.index_bytes));
    cells.push_back(size_text(f.sidecar_bytes));
    cells.push_back(f.last_backfill.empty() ? "never" : f.last_backfill.substr(0, 19) + "Z");
    table.row(std::move(cells));
  }
  return table.text();
}

struct StatusArguments {
  StoreArguments stores;
  bool full = false;
};

int status(Context& context, const StatusArguments& arguments) {
  const auto selected = select_stores(context, arguments.stores, store_settings(context));
  if (selected.empty()) context.note("there is no store in " + context.data_folder().string());
  std::vector<StoreStatus> stores;
  int exit_code = 0;
  for (const SelectedStore& store : selected) {
    StoreStatus& status = stores.emplace_back();
    status.store = store.entry.name;
    try {
      status.freshness = store.open()->freshness({.full = arguments.full});
    } catch (const std::exception&) {
      status.failure = failure_in_flight(store.entry.name);
      context.warn(store.entry.name + ": " + status.failure->message +
                   (status.failure->hint.empty() ? "" : "; " + status.failure->hint));
      exit_code = selected.size() == 1 ? status.failure->exit_code : 5;
    }
  }
  if (context.options.json) {
    Json list = Json::array();
    for (const StoreStatus& one : stores) list.push_back(json_of(one));
    const MemoryBudget& memory = *context.memory();
    context.put_json(
        {{"stores", list},
         {"memory",
          {{"budget_bytes", memory.limit_bytes()}, {"used_bytes", memory.used_bytes()}}}});
  } else if (context.options.jsonl) {
    for (const StoreStatus& one : stores) context.put_json(json_of(one));
  } else if (!stores.empty()) {
    context.out.write(table_of(stores));
    context.out.flush();
    for (const StoreStatus& one : stores) {
      if (one.freshness && !one.freshness->consistent)
        context.note(
            one.store +
            ": somebody wrote while the rows were counted; they are not those of one moment");
      if (!one.freshness || one.freshness->updated_column.empty()) continue;
      context.note(one.store + ": texts are taken as unchanged where " +
                   one.freshness->updated_column + " is; --full reads them all");
    }
    const bool waiting = std::ranges::any_of(stores, [](const StoreStatus& one) {
      return one.freshness && one.freshness->rows != one.freshness->fresh;
    });
    if (waiting) {
      context.note(
          "TEXT and MODEL: embedded with another text or model; MISSING: not embedded yet; "
          "BLOCKED, EMPTY and "
          "SKIPPED: nothing to embed (nearlite backfill --json lists them)");
    }
  }
  return exit_code;
}

}  // namespace

void add_status_command(CLI::App& app, Context& context, Action& action) {
  auto arguments = std::make_shared<StatusArguments>();
  CLI::App& command =
      add_command(app, "status", "How fresh the vectors of each store are, counted from its rows",
                  "  nearlite status\n  nearlite status app.db --json");
  add_store_arguments(command, arguments->stores);
  command.add_flag("--full", arguments->full,
                   "Read every row, also where an updated column says that it is unchanged");
  command.callback([arguments, &context, &action] {
    action = [arguments, &context] { return status(context, *arguments); };
  });
}

}  // namespace nearlite::cli
