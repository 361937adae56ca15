#include <CLI/CLI.hpp>
#include <map>

#include "../command_line.h"
#include "../store_selection.h"
#include "nearlite/base/clock.h"
#include "nearlite/base/error.h"
#include "nearlite/store/metrics_db.h"

namespace nearlite::cli {
namespace {

struct StatsArguments {
  StoreArguments stores;
  std::string since;
};

void add_to(BackfillRun& sum, const BackfillRun& run) {
  sum.embedded += run.embedded;
  sum.skipped += run.skipped;
  sum.removed += run.removed;
  sum.unchanged += run.unchanged;
  sum.blocked += run.blocked;
  sum.tokens += run.tokens;
  sum.truncated += run.truncated;
  sum.passages += run.passages;
  sum.wall_ms += run.wall_ms;
  sum.store_ms += run.store_ms;
  sum.encode_ms += run.encode_ms;
  for (const auto& [reason, count] : run.skipped_by_reason) sum.skipped_by_reason[reason] += count;
}

Json figures_of(const BackfillRun& run) {
  return {{"embedded", run.embedded},   {"skipped", run.skipped},
          {"removed", run.removed},     {"unchanged", run.unchanged},
          {"blocked", run.blocked},     {"tokens", run.tokens},
          {"truncated", run.truncated}, {"passages", run.passages},
          {"wall_ms", run.wall_ms},     {"encode_ms", run.encode_ms},
          {"store_ms", run.store_ms},   {"skipped_by_reason", run.skipped_by_reason}};
}

Json json_of(const BackfillRun& run) {
  Json json = {{"store", run.store},
               {"class", run.db_name},
               {"session_id", run.session_id},
               {"started_at", run.started_at}};
  json.update(figures_of(run));
  return json;
}

std::vector<std::string> cells_of(const BackfillRun& run, const std::string& name,
                                  const std::string& time) {
  const auto count = [](std::int64_t number) {
    return with_separators(static_cast<std::uint64_t>(number));
  };
  return {
      printable(name),
      time,
      count(run.embedded),
      count(run.skipped + run.blocked),
      count(run.removed),
      count(run.tokens),
      run.wall_ms > 0 ? short_number(static_cast<double>(run.tokens) / run.wall_ms * 1000) : "-",
      duration_text(run.wall_ms),
      duration_text(run.encode_ms),
      duration_text(run.store_ms)};
}

std::string table_of(const std::vector<BackfillRun>& runs,
                     const std::map<std::string, BackfillRun>& sums) {
  using Align = TextTable::Align;
  TextTable table;
  table.column("STORE");
  table.column("RUN");
  for (const char* title :
       {"EMBEDDED", "SKIPPED", "REMOVED", "TOKENS", "TOK/S", "WALL", "ENCODE", "STORE"}) {
    table.column(title, Align::kRight);
  }
  for (const BackfillRun& run : runs) {
    std::string label = run.started_at.substr(0, 19) + "Z";
    if (!run.session_id.empty()) label += " " + printable(run.session_id);
    table.row(cells_of(run, run.store, label));
  }
  for (const auto& [store, sum] : sums) table.row(cells_of(sum, store, "sum"));
  return table.text();
}

std::vector<BackfillRun> runs_of(const std::vector<SelectedStore>& selected,
                                 const std::string& since) {
  std::vector<BackfillRun> runs;
  for (const SelectedStore& store : selected) {
    try {
      MetricsDb metrics = MetricsDb::open_existing(store.registry->metrics_path(store.entry));
      std::ranges::move(metrics.runs(store.entry.name, since), std::back_inserter(runs));
    } catch (const NotFound&) {
      continue;  // nothing was embedded yet
    }
  }
  std::ranges::stable_sort(runs, {}, &BackfillRun::started_at);
  return runs;
}

int stats(Context& context, const StatsArguments& arguments) {
  std::string since;
  if (!arguments.since.empty()) since = rfc3339(parse_rfc3339(arguments.since));
  const auto selected = select_stores(context, arguments.stores, store_settings(context));
  const auto runs = runs_of(selected, since);
  std::map<std::string, BackfillRun> sums;
  for (const BackfillRun& run : runs) add_to(sums[run.store], run);
  if (context.options.json) {
    Json json = {{"runs", Json::array()}, {"stores", Json::array()}};
    for (const BackfillRun& run : runs) json["runs"].push_back(json_of(run));
    for (const auto& [store, sum] : sums) {
      Json one = {{"store", store}};
      one.update(figures_of(sum));
      json["stores"].push_back(one);
    }
    context.put_json(json);
  } else if (context.options.jsonl) {
    for (const BackfillRun& run : runs) context.put_json(json_of(run));
  } else if (runs.empty()) {
    context.note("nothing was embedded yet");
  } else {
    context.out.write(table_of(runs, sums));
  }
  return 0;
}

}  // namespace

void add_stats_command(CLI::App& app, Context& context, Action& action) {
  auto arguments = std::make_shared<StatsArguments>();
  CLI::App& command = add_command(app, "stats", "What embedding has cost: per run and in sum",
                                  "  nearlite stats\n  nearlite stats app.db --since 2026-11-01");
  add_store_arguments(command, arguments->stores);
  command
      .add_option("--since", arguments->since,
                  "Runs that started then or later (RFC 3339, or a date)")
      ->type_name("T");
  command.callback([arguments, &context, &action] {
    action = [arguments, &context] { return stats(context, *arguments); };
  });
}

}  // namespace nearlite::cli
