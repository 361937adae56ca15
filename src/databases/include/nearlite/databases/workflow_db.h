#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "nearlite/databases/seed_store.h"

namespace nearlite {

/// Lists are kept as comma-joined text; their items hold no commas.
struct WorkflowRecord {
  std::vector<std::string> workflow{};
  std::vector<std::string> action_chains{};
  std::vector<std::string> argument_strings{};
  std::vector<std::string> assigned_bots{};
  std::vector<std::string> enhancements{};
  std::string title{};
  std::string description{};
  std::vector<std::string> task_sequence{};
  std::vector<std::string> tags{};
  std::vector<std::string> dependencies{};
  std::vector<std::string> reasons{};
  std::string category{};
  std::string type_{};
  std::string status = "pending";
  std::string rejection_reason{};
  double workflow_duration = 0;
  std::string performance_data{};
  double estimated_profit_per_bot = 0;
  std::string timestamp{};  // empty: now
  std::int64_t wid = 0;
  std::vector<float> embedding{};  // of fetch_workflows(), where asked for
  double distance = 0;             // of a search, in the backend's convention
};

enum class WorkflowOrder { kConfidence, kOutcomeScore, kTimestamp };

/// Workflows: workflows.db, workflow_embeddings.index (reference §3.3).
class WorkflowDB : public SeedStore {
 public:
  WorkflowDB(const std::filesystem::path& database, SeedStoreOptions seed,
             EmbeddableOptions options);
  static EmbeddableOptions default_options(const std::filesystem::path& folder);

  /// The new id, or that of the workflow with equal action_chains, argument_strings, description
  /// and workflow. `source_id`: whose row it is; empty: this instance's.
  std::int64_t add(const WorkflowRecord& workflow, const std::string& source_id = {},
                   AddReport* report = nullptr);
  void update_status(std::int64_t id, const std::string& status);
  void update_statuses(std::span<const std::int64_t> ids, const std::string& status);
  /// Removes the row and its vectors. False if there was none.
  bool remove(std::int64_t id);
  /// Removes one and adds the other; the new id.
  std::int64_t replace(std::int64_t id, const WorkflowRecord& workflow,
                       AddReport* report = nullptr);
  /// The newest first.
  std::vector<WorkflowRecord> fetch(std::size_t limit = 20, Scope scope = Scope::kLocal) const;
  /// Largest first: confidence is estimated_profit_per_bot, outcome score workflow_duration. With
  /// their vectors as they are stored, if asked; empty where there is none.
  std::vector<WorkflowRecord> fetch_workflows(Scope scope, WorkflowOrder order,
                                              std::size_t limit = 100,
                                              bool include_embeddings = false) const;
  /// The number of assigned bots. Throws NotFound.
  std::size_t usage_rate(std::int64_t id) const;
  std::vector<WorkflowRecord> search_by_vector(std::span<const float> vector, std::size_t top_k = 5,
                                               Scope scope = Scope::kAll) const;

  std::string text(const Record& record) const override;

 private:
  static const Traits& traits();
};

}  // namespace nearlite
