#include "model_change.h"

#include <algorithm>

#include "../backfill_run.h"
#include "../model_choice.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/databases/table_store.h"

namespace nearlite::cli {
namespace {

namespace fs = std::filesystem;
using vector_service::StoreSource;

constexpr int kMostCatchUps = 3;

std::string rollback_command(const ModelChange& change) {
  return "nearlite store set " + change.entry.name + " --rollback";
}

/// The sidecar of a generation with its derived files.
fs::path sidecar_of(const fs::path& index_path, int generation) {
  EmbeddableOptions options;
  options.index_path = index_path;
  options.sidecar_path = fs::path(index_path).replace_extension(".sqlite");
  set_generation(options, generation);
  return options.sidecar_path;
}

void remove_generation(const fs::path& index_path, int generation) {
  const fs::path sidecar = sidecar_of(index_path, generation);
  std::error_code ignored;
  for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(fs::path(sidecar) += suffix, ignored);
  fs::remove_all(fs::path(sidecar).replace_extension(".vec"), ignored);
}

/// One run over the store's rows with the vectors of `generation`.
BackfillOutcome embed(Context& context, const ModelChange& change, const std::string& model,
                      int generation) {
  const std::vector<StoreSource> source = {
      {change.entry.name, change.entry.class_name, change.registry->metrics_path(change.entry),
       [&](std::optional<Backend>) {
         return change.registry->open_generation(change.entry, model, generation);
       }}};
  BackfillSettings settings;
  settings.text_on_stdout = false;
  settings.dry_run = change.dry_run;
  return run_backfill(context, source, settings);
}

void put_outcome(Context& context, const ModelChange& change, const std::string& model,
                 const BackfillResult& result, bool switched) {
  if (context.machine_form()) {
    Json json = {{"store", change.entry.name},  {"model", model},
                 {"switched", switched},        {"embedded", result.embedded},
                 {"passages", result.passages}, {"tokens", result.tokens},
                 {"wall_ms", result.wall_ms}};
    if (result.estimated_ms) {
      json["estimated_ms"] = *result.estimated_ms;
      json["estimated_bytes"] = result.estimated_bytes;
    }
    context.put_json(json);
    return;
  }
  if (!switched) {
    context.out.line(printable(change.entry.name) + ": would embed " +
                     with_separators(result.embedded) + " rows by " + printable(model) + ", " +
                     with_separators(result.tokens) + " tokens: " + expected_text(result));
    return;
  }
  context.out.line(printable(change.entry.name) + ": switched to " + printable(model) + "; " +
                   rollback_command(change) + " goes back");
}

/// The index file and the JSON are of the generation before: the new one writes its own.
void publish(const ModelChange& change, const std::string& model, int generation) {
  const auto store = change.registry->open_generation(change.entry, model, generation);
  std::error_code ignored;
  fs::remove(store->options().index_path, ignored);
  fs::remove(store->options().metadata_path, ignored);
}

int embed_and_switch(Context& context, const ModelChange& change, const std::string& model,
                     int generation) {
  const StoreGenerations now = change.registry->generations(change.entry);
  if (!change.dry_run) {
    const auto live = change.registry->open(change.entry);
    if (stamp_of(live->sidecar_path())) {
      change.registry->open_generation(change.entry, model, generation)->take_decisions_from(*live);
    }
  }
  BackfillOutcome outcome = embed(context, change, model, generation);
  if (outcome.exit_code != 0 || !outcome.stores.front().result ||
      outcome.stores.front().result->stopped) {
    context.warn(change.entry.name +
                 " stays as it is; the same command goes on where this stopped");
    return outcome.exit_code;
  }
  BackfillResult result = *outcome.stores.front().result;
  if (change.dry_run) {
    put_outcome(context, change, model, result, false);
    return 0;
  }
  // What changed while that was going on.
  for (int i = 0; i < kMostCatchUps; ++i) {
    outcome = embed(context, change, model, generation);
    if (outcome.exit_code != 0) return outcome.exit_code;
    const BackfillResult& more = *outcome.stores.front().result;
    if (more.embedded + more.removed == 0) break;
    result.embedded += more.embedded;
  }
  std::string old_model = change.registry->open(change.entry)->vectors_model();
  if (old_model.empty()) old_model = change.registry->open(change.entry)->options().model_name;
  set_store(change.config, change.entry.name,
            {{"model", model},
             {"generation", std::to_string(generation)},
             {"previous_model", old_model},
             {"previous_generation", std::to_string(now.current)}},
            change.place);  // the switch
  publish(change, model, generation);
  const fs::path index_path = change.registry->open(change.entry)->options().index_path;
  if (now.previous > 0 && now.previous != generation) remove_generation(index_path, now.previous);
  put_outcome(context, change, model, result, true);
  return 0;
}

}  // namespace

int change_model(Context& context, const ModelChange& change, const std::string& model) {
  const auto store = change.registry->open(change.entry);
  // The name in nearlite.toml may have been written by hand: what counts is what made the vectors.
  const std::string used = store->vectors_model();
  const bool configured = full_model_name(store->options().model_name) == model;
  if (configured && (used.empty() || full_model_name(used) == model)) {
    throw InvalidArgument(change.entry.name + " uses " + model + " already",
                          "nearlite backfill embeds what is missing");
  }
  const Freshness freshness = store->freshness();
  const bool has_vectors = freshness.fresh + freshness.stale_text + freshness.stale_model > 0;
  if (!has_vectors && !change.dry_run) {
    set_store(change.config, change.entry.name, "model", model, change.place);
    context.note(change.entry.name + " has no vectors yet; " + model + " will make them");
    return 0;
  }
  require_model(context, model);
  const StoreGenerations now = change.registry->generations(change.entry);
  const int next = std::max(now.current, now.previous) + 1;
  const fs::path sidecar = sidecar_of(store->options().index_path, next);
  if (stamp_of(sidecar)) {
    // A run that was stopped; of another model it is no use.
    const auto begun = change.registry->open_generation(change.entry, model, next)->freshness();
    if (begun.fresh == 0 && !change.dry_run) remove_generation(store->options().index_path, next);
  }
  return embed_and_switch(context, change, model, next);
}

bool drop_previous_model(const ModelChange& change) {
  const StoreGenerations now = change.registry->generations(change.entry);
  if (now.previous == 0) return false;
  const fs::path index_path = change.registry->open(change.entry)->options().index_path;
  set_store(change.config, change.entry.name,
            {{"previous_model", ""}, {"previous_generation", "0"}}, change.place);
  remove_generation(index_path, now.previous);
  return true;
}

int roll_back_model(Context& context, const ModelChange& change) {
  const StoreGenerations now = change.registry->generations(change.entry);
  if (now.previous == 0) {
    throw NotFound(change.entry.name + " has no model before this one",
                   "nearlite store set " + change.entry.name + " --model M changes it");
  }
  return embed_and_switch(context, change, now.previous_model, now.previous);
}

}  // namespace nearlite::cli
