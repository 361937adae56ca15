#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nearlite/databases/store.h"

namespace nearlite {

/// Rows of one instance, of the others, or all (reference §3.1): source_menace_id equal, not equal,
/// any.
enum class Scope { kLocal, kGlobal, kAll };

struct SeedStoreOptions {
  Open open = Open::kExisting;
  std::string source_menace_id;  // of the rows this object adds
  bool embed_on_add = true;      // false: leave it to backfill_embeddings, for bulk loading
};

/// What an add or update did besides storing the row.
struct AddReport {
  bool duplicate =
      false;  // a row of equal content was there: its id was returned, nothing was added
  bool embedded = false;
  std::string not_embedded_because;  // the row is stored all the same; backfill embeds it later
};

/// Base of the six: an own SQLite file with the schema of reference §3, opened for reading and
/// writing (WAL).
class SeedStore : public Store {
 public:
  std::string name() const override { return name_; }
  std::string class_name() const override { return class_name_; }
  std::function<bool(const RecordKey&)> keys_matching(const std::string& where) const override;
  Record read_fields(const RecordKey& key, const std::vector<std::string>& columns) const override;

 protected:
  struct Traits;  // names, schema and default files of a class: seed_traits.h
  SeedStore(const Traits& traits, const std::filesystem::path& database, SeedStoreOptions seed,
            EmbeddableOptions options);

  const std::string& source_menace_id() const noexcept { return seed_.source_menace_id; }
  bool has_table(const std::string& table) const;
  /// Every column of a table of this store, its key first, as a cursor.
  RecordCursor rows_of(const std::string& table, const std::string& key_column = "id") const;
  /// Embeds the row of `key` as iter_records() gives it. Never throws an Error: it goes into the
  /// report.
  void embed_row(const RecordKey& key, AddReport* report);
  /// Hits with their rows, the distance of the backend added as `_distance`.
  std::vector<Record> found_records(std::span<const float> vector, std::size_t top_k) const;
  std::string now() const;  // YYYY-MM-DDTHH:MM:SS.ffffff, UTC
  void link(const std::string& table, const std::vector<std::pair<std::string, Value>>& row);
  std::vector<std::int64_t> linked(const std::string& table, const std::string& where_column,
                                   std::int64_t id, const std::string& column) const;

 private:
  const Traits& traits_;
  std::string name_;
  std::string class_name_;
  SeedStoreOptions seed_;
};

/// One of the six by its registry name, as `store create` and the registry open it. `folder` is the
/// data folder.
struct SeedStoreKind {
  std::string name;        // "bot"
  std::string class_name;  // "BotDB"
  std::string file;        // "bots.db"
  std::vector<std::string> aliases;
  EmbeddableOptions (*default_options)(const std::filesystem::path& folder);
  std::unique_ptr<Store> (*open)(const std::filesystem::path& database, SeedStoreOptions seed,
                                 EmbeddableOptions options);
};
/// In the order of `--all` (reference §10): bot, workflow, error, information, enhancement,
/// research.
std::span<const SeedStoreKind> seed_store_kinds();

}  // namespace nearlite
