#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "context.h"
#include "nearlite/service/embedding_backfill.h"
#include "store_selection.h"

namespace nearlite::cli {

struct BackfillSettings {
  std::string session_id;
  std::size_t batch_size = 100;
  std::size_t wait_seconds = 0;
  bool dry_run = false;
  bool strict = false;
  bool full = false;           // read all texts
  bool text_on_stdout = true;  // the two lines per store
};

struct BackfillOutcome {
  std::vector<vector_service::StoreBackfill> stores;
  int exit_code = 0;  // interface.md §2: 0, 5, that of a failure that all stores share, 130 or 143
};

/// Backfills the stores with progress on stderr and, in text form, the seed's two lines per store
/// on stdout.
BackfillOutcome run_backfill(Context& context, std::span<const SelectedStore> stores,
                             const BackfillSettings& settings,
                             std::optional<Backend> backend = std::nullopt);

/// The same for stores that are opened in another way.
BackfillOutcome run_backfill(Context& context,
                             const std::vector<vector_service::StoreSource>& sources,
                             const BackfillSettings& settings,
                             std::optional<Backend> backend = std::nullopt);

/// What a dry run found: "430 passages (12 texts are longer than the model reads), about 12 s,
/// about 3.1 MB"
std::string expected_text(const BackfillResult& result);

/// The stores' results in the form for programs: an array with --json, a line each with --jsonl.
void put_backfill_json(Context& context, const BackfillOutcome& outcome);

/// Asks for the models that the stores need and that are not on this machine (model_choice.h), on a
/// terminal or with --yes only: otherwise a store that needs its model says so itself, and one that
/// has nothing to embed does not.
void offer_missing_models(Context& context, std::span<const SelectedStore> stores);

}  // namespace nearlite::cli
