#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "nearlite/databases/seed_store.h"

namespace nearlite {

struct InformationRecord {
  std::string data_type{};
  std::string source_url{};
  std::string date_collected{};  // empty: now
  std::string summary{};
  bool validated = false;
  std::string validation_notes{};
  std::vector<std::string> keywords{};
  double data_depth_score = 0;
  std::int64_t info_id = 0;
  double distance = 0;  // of a search, in the backend's convention
};

/// Static information: table information of information.db (reference §3.7).
class InformationDB : public SeedStore {
 public:
  InformationDB(const std::filesystem::path& database, SeedStoreOptions seed,
                EmbeddableOptions options);
  static EmbeddableOptions default_options(const std::filesystem::path& folder);

  std::int64_t add(const InformationRecord& information, AddReport* report = nullptr);
  void update(std::int64_t id, const Fields& fields, AddReport* report = nullptr);
  std::vector<InformationRecord> fetch_all(Scope scope = Scope::kAll) const;
  std::vector<InformationRecord> search_by_vector(std::span<const float> vector,
                                                  std::size_t top_k = 5,
                                                  Scope scope = Scope::kAll) const;

  std::string text(const Record& record) const override;

 private:
  static const Traits& traits();
};

}  // namespace nearlite
