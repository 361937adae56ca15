#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "nearlite/databases/seed_store.h"

namespace nearlite {

struct EnhancementRecord {
  std::string idea{};
  std::string rationale{};
  std::string summary{};
  double score = 0;
  double confidence = 0;
  double outcome_score = 0;
  std::string timestamp{};  // empty: now
  std::string context{};
  std::string before_code{};
  std::string after_code{};
  std::string title{};
  std::string description{};
  std::vector<std::string> tags{};
  std::string type_{};
  std::vector<std::string> assigned_bots{};
  std::string rejection_reason{};
  double cost_estimate = 0;
  std::string category{};
  std::vector<std::string> associated_bots{};
  std::string triggered_by{};
  std::int64_t id = 0;
  std::vector<std::int64_t> model_ids{};
  std::vector<std::int64_t> bot_ids{};
  std::vector<std::int64_t> workflow_ids{};
  double distance = 0;  // of a search, in the backend's convention
};

enum class EnhancementOrder { kId, kConfidence, kOutcomeScore };

/// Enhancements: enhancements.db, enhancement_embeddings.ann (reference §3.4). Embeds the unified
/// diff of before_code and after_code (else context) and the summary. enhancement_embeddings names
/// the records that have vectors.
class EnhancementDB : public SeedStore {
 public:
  EnhancementDB(const std::filesystem::path& database, SeedStoreOptions seed,
                EmbeddableOptions options);
  static EmbeddableOptions default_options(const std::filesystem::path& folder);

  /// The new id, or that of the row with equal after_code, before_code, description, idea and
  /// rationale. model_ids, bot_ids and workflow_ids become links.
  std::int64_t add(const EnhancementRecord& enhancement, AddReport* report = nullptr);
  void update(std::int64_t id, const EnhancementRecord& enhancement, AddReport* report = nullptr);
  void link_model(std::int64_t id, std::int64_t model_id);
  void link_bot(std::int64_t id, std::int64_t bot_id);
  void link_workflow(std::int64_t id, std::int64_t workflow_id);
  std::vector<std::int64_t> models_for(std::int64_t id) const;
  std::vector<std::int64_t> bots_for(std::int64_t id) const;
  std::vector<std::int64_t> workflows_for(std::int64_t id) const;
  /// The score of the row. Throws NotFound.
  double roi_uplift(std::int64_t id) const;
  std::vector<EnhancementRecord> fetch(std::size_t limit = 50,
                                       EnhancementOrder order = EnhancementOrder::kId,
                                       bool descending = true, Scope scope = Scope::kLocal) const;
  std::vector<EnhancementRecord> search_by_vector(std::span<const float> vector,
                                                  std::size_t top_k = 5,
                                                  Scope scope = Scope::kAll) const;
  BackfillResult backfill_embeddings(const BackfillOptions& options = {}) override;

  std::string text(const Record& record) const override;

 private:
  static const Traits& traits();
  EnhancementRecord with_links(EnhancementRecord enhancement) const;
  void mirror(std::int64_t id, bool embedded);
};

}  // namespace nearlite
