#pragma once

#include <optional>
#include <string>

#include "../context.h"
#include "nearlite/databases/proposal.h"
#include "nearlite/service/embedding_backfill.h"

namespace nearlite::cli {

/// What a proposal says of the model it would use.
struct ModelSummary {
  std::string name;
  std::string text;  // "all-MiniLM-L6-v2 (English, 256 tokens; longer texts are cut into passages)"
  std::size_t dim = 384;
  std::optional<double> tokens_per_second;  // measured on this machine just now
};

/// Reads the model's small files and, with `measure`, encodes a few texts to know how fast it is
/// here. A model that is not on this machine is said so.
ModelSummary describe_model(Context& context, const std::string& name, bool measure);

/// The model of a proposed table: its own, else the library's default.
std::string model_of(const ProposedTable& table);

/// The proposal on stdout as text; nothing in the forms for programs.
void put_proposal(Context& context, const Proposal& proposal, const ModelSummary& model);

/// The same as one document.
void put_proposal_json(Context& context, const Proposal& proposal, const ModelSummary& model);

/// On stderr: tables that are not recorded yet, and the command that adds them.
void tell_new_tables(const Context& context, const Proposal& proposal, const std::string& command);

/// "notes: embedded 1,204 rows (1,310 passages, 98,220 tokens), skipped 3, removed 0, unchanged 0,
/// in 12 s"
std::string index_result_line(const vector_service::StoreBackfill& store, bool dry_run);

}  // namespace nearlite::cli
