#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nearlite/databases/seed_store.h"

namespace nearlite {

struct ResearchItem {
  std::int64_t model_id = 0;  // 0: none
  std::optional<std::int64_t> contrarian_id{};
  std::string title{};    // the topic
  std::string summary{};  // empty: made of the content
  std::vector<std::string> tags{};
  std::string category{};
  std::string type_{};  // empty: "text"
  std::string content{};
  double data_depth = 0;  // 0: min(length / 500, 1)
  std::string source_url{};
  std::string notes{};
  std::vector<std::string> associated_bots{};
  std::vector<std::string> associated_errors{};
  std::string performance_data{};
  double timestamp = 0;  // seconds since the epoch; 0: now
  std::int64_t energy = 1;
  std::int64_t corroboration_count = 0;
  std::int64_t item_id = 0;
  double distance = 0;  // of a search, in the backend's convention
};

struct InfoLinks {
  std::vector<std::int64_t> workflows{};
  std::vector<std::int64_t> enhancements{};
  std::vector<std::int64_t> bots{};
};

/// Called for items of energy 3 and more; the verdict is noted.
struct InfoValidators {
  std::function<bool(const ResearchItem&)> text{};
  std::function<bool(const ResearchItem&)> video{};
};

/// Research items: table info of information.db (reference §3.6); registry name research. Shares
/// information.db and information_embeddings.index with InformationDB; keys are kept apart by
/// store.
class InfoDB : public SeedStore {
 public:
  InfoDB(const std::filesystem::path& database, SeedStoreOptions seed, EmbeddableOptions options,
         InfoValidators validators = {});
  static EmbeddableOptions default_options(const std::filesystem::path& folder);

  /// Stores the item with what is missing filled in. With energy above 1, items of the same topic
  /// (from 3 on: or model) are noted as `xref <id> (topic, model)` and counted.
  std::int64_t add(ResearchItem item, const InfoLinks& links = {}, AddReport* report = nullptr);
  void update(std::int64_t id, const Fields& fields, AddReport* report = nullptr);
  /// Full-text search by the beginning of words in title, tags and content; what that cannot read
  /// is looked for in title and tags as it stands. (The vector search of a question is
  /// EmbeddableDBMixin::search.)
  std::vector<ResearchItem> search(const std::string& term) const;
  std::vector<ResearchItem> items_for_model(std::int64_t model_id) const;
  void link_workflow(std::int64_t id, std::int64_t workflow_id);
  void link_enhancement(std::int64_t id, std::int64_t enhancement_id);
  void link_bot(std::int64_t id, std::int64_t bot_id);
  std::vector<std::int64_t> workflows_for(std::int64_t id) const;
  std::vector<std::int64_t> enhancements_for(std::int64_t id) const;
  std::vector<std::int64_t> bots_for(std::int64_t id) const;
  std::vector<ResearchItem> search_by_vector(std::span<const float> vector,
                                             std::size_t top_k = 5) const;

  std::string text(const Record& record) const override;

 private:
  static const Traits& traits();
  void corroborate(ResearchItem& item) const;

  InfoValidators validators_;
};

}  // namespace nearlite
