#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nearlite/databases/seed_store.h"

namespace nearlite {

struct BotRecord {
  std::string name{};
  std::string type_{};
  std::vector<std::string> tasks{};
  std::string parent_id{};
  std::vector<std::string> dependencies{};
  std::map<std::string, std::string> resources{};
  std::string hierarchy_level{};
  std::string purpose{};
  std::vector<std::string> tags{};
  std::vector<std::string> toolchain{};
  std::string creation_date{};           // empty: now
  std::string last_modification_date{};  // empty: now
  std::string status = "active";
  std::string version{};
  double estimated_profit = 0;
  std::int64_t bid = 0;
};

/// Rows of other stores that belong to a new bot.
struct BotLinks {
  std::vector<std::int64_t> models{};
  std::vector<std::int64_t> workflows{};
  std::vector<std::int64_t> enhancements{};
};

/// Bots: bots.db, bot_embeddings.index (reference §3.2). Embeds purpose, tags and toolchain.
class BotDB : public SeedStore {
 public:
  /// Throws NotFound if the file is missing and `seed.open` is kExisting, or CorruptData,
  /// Unavailable.
  BotDB(const std::filesystem::path& database, SeedStoreOptions seed, EmbeddableOptions options);
  static EmbeddableOptions default_options(const std::filesystem::path& folder);

  /// The new id, or that of the bot with equal dependencies, name, resources, tasks and type.
  std::int64_t add_bot(const BotRecord& bot, const BotLinks& links = {},
                       AddReport* report = nullptr);
  /// Sets columns and last_modification_date, and embeds the bot again.
  void update_bot(std::int64_t id, const Fields& fields, AddReport* report = nullptr);
  /// Case-insensitive for A to Z.
  std::optional<BotRecord> find_by_name(const std::string& name, Scope scope = Scope::kLocal) const;
  std::vector<BotRecord> fetch_all(Scope scope = Scope::kLocal) const;
  std::vector<BotRecord> by_level(const std::string& level, Scope scope = Scope::kLocal) const;
  void link_model(std::int64_t bot_id, std::int64_t model_id);
  void link_workflow(std::int64_t bot_id, std::int64_t workflow_id);
  void link_enhancement(std::int64_t bot_id, std::int64_t enhancement_id);
  /// Rows as they are now, best first, with the backend's distance as `_distance`.
  std::vector<Record> search_by_vector(std::span<const float> vector, std::size_t top_k = 5,
                                       Scope scope = Scope::kAll) const;

  std::string text(const Record& record) const override;

 private:
  static const Traits& traits();
};

}  // namespace nearlite
