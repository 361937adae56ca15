#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../context.h"
#include "nearlite/databases/proposal.h"
#include "nearlite/embeddable/cost.h"
#include "nearlite/encoder/text_encoder.h"
#include "nearlite/service/embedding_backfill.h"

namespace nearlite::cli {

/// What a proposal says of the model it would use.
struct ModelSummary {
  std::string name;
  std::string language;  // "English"; empty: its card does not say
  std::size_t max_tokens = 0;
  std::shared_ptr<const TextEncoder> encoder;  // null: not on this machine yet
};

/// A proposal with what each of its tables would take.
struct PricedProposal {
  Proposal proposal;
  ModelSummary model;
  std::vector<std::optional<CostEstimate>> costs;  // by table; nothing without the model
};

/// Reads the model's small files. A model that is not on this machine has no encoder.
ModelSummary describe_model(const Context& context, const std::string& name);

/// Counts the texts of the proposed tables with the model's tokenizer, those of large tables by a
/// sample, and encodes a few texts of the first to know how fast that is here.
PricedProposal price(const Context& context, Proposal proposal, const std::string& model,
                     const std::filesystem::path& sidecar_folder);

/// "English, 256 tokens; 412 of 3,000 texts are longer: cut into passages"
std::string limit_text(const PricedProposal& priced);

/// The model of a proposed table: its own, else the library's default.
std::string model_of(const ProposedTable& table);

/// The proposal on stdout as text; nothing in the forms for programs.
void put_proposal(Context& context, const PricedProposal& priced);

/// The same as one document.
void put_proposal_json(Context& context, const PricedProposal& priced);

/// On stderr: tables that are not recorded yet, and the command that adds them.
void tell_new_tables(const Context& context, const Proposal& proposal, const std::string& command);

/// "notes: embedded 1,204 rows (1,310 passages, 98,220 tokens), skipped 3, removed 0, unchanged 0,
/// in 12 s"
std::string index_result_line(const vector_service::StoreBackfill& store, bool dry_run);

}  // namespace nearlite::cli
