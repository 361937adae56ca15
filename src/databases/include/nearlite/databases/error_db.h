#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nearlite/databases/seed_store.h"

namespace nearlite {

struct ErrorRecord {
  std::string message{};
  std::string type_{};
  std::string description{};  // empty: the message
  std::string resolution = "fatal";
  std::string category{};
  std::string cause{};
};

struct ErrorLinks {
  std::vector<std::int64_t> models{};
  std::vector<std::int64_t> bots{};
  std::vector<std::int64_t> codes{};
};

struct TelemetryEvent {
  std::string task_id{};
  std::string bot_id{};
  std::string error_type{};
  std::string category{};
  std::string cause{};
  std::string stack_trace{};
  std::string root_module{};
  std::string module{};
  std::map<std::string, std::int64_t> module_counts{};
  std::string inferred_cause{};
  std::string ts{};  // empty: now
  std::string resolution_status{};
  std::optional<std::int64_t> patch_id{};
  std::optional<std::int64_t> deploy_id{};
  std::vector<std::string> fix_suggestions{};
  std::vector<std::string> bottlenecks{};
};

/// Errors: errors.db, error_embeddings.index (reference §3.5). Embeds errors (keys 7), telemetry
/// (telemetry:7), known errors (known_errors:3) and discrepancies (discrepancies:2).
class ErrorDB : public SeedStore {
 public:
  ErrorDB(const std::filesystem::path& database, SeedStoreOptions seed, EmbeddableOptions options);
  static EmbeddableOptions default_options(const std::filesystem::path& folder);

  /// The new id, or that of the error with equal description, resolution and type, whose frequency
  /// grows by one.
  std::int64_t add_error(const ErrorRecord& error, const ErrorLinks& links = {},
                         AddReport* report = nullptr);
  /// frequency is the sum of the module counts, else 1; error_stats is counted up.
  std::int64_t add_telemetry(const TelemetryEvent& event, AddReport* report = nullptr);
  /// A message that is known already gets the new solution.
  std::int64_t add_known(const std::string& message, const std::string& solution,
                         AddReport* report = nullptr);
  std::optional<std::string> find_solution(const std::string& message) const;
  std::int64_t log_discrepancy(const std::string& message, AddReport* report = nullptr);
  /// The id of the error with this message.
  std::optional<std::int64_t> find_error(const std::string& message,
                                         Scope scope = Scope::kLocal) const;
  /// How often the error was added. Throws NotFound.
  std::int64_t recurrence_frequency(std::int64_t id) const;
  void link_model(std::int64_t error_id, std::int64_t model_id);
  void link_bot(std::int64_t error_id, std::int64_t bot_id);
  void link_code(std::int64_t error_id, std::int64_t code_id);
  /// Errors as id, message, _distance; telemetry as id, cause, stack_trace, _distance; the others
  /// as id, message, _distance; with `_table` for all but errors.
  std::vector<Record> search_by_vector(std::span<const float> vector, std::size_t top_k = 5,
                                       Scope scope = Scope::kAll) const;

  std::string text(const Record& record) const override;

 private:
  static const Traits& traits();
};

}  // namespace nearlite
