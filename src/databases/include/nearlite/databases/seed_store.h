#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "nearlite/databases/schema.h"
#include "nearlite/databases/store.h"

namespace nearlite {

/// Rows of this instance, of the others, or all (reference §3.1): source_menace_id equal, not
/// equal, any.
enum class Scope { kLocal, kGlobal, kAll };

struct SeedStoreOptions {
  Open open = Open::kExisting;
  std::string source_menace_id{};  // of the rows this object adds
  bool embed_on_add = true;        // false: leave it to backfill_embeddings, for bulk loading
};

/// What an add or update did besides storing the row.
struct AddReport {
  bool duplicate = false;  // a row of equal content was there: its id was returned, nothing added
  bool embedded = false;
  std::string not_embedded_because{};  // the row is stored all the same; backfill embeds it later
};

using Fields = std::vector<std::pair<std::string, Value>>;

/// Base of the six: a SQLite file of their own with the schema of reference §3, opened for reading
/// and writing (WAL). Writing methods store the row first, in one transaction with its links, and
/// embed it after that: a model that is missing never loses a row. One thread at a time writes;
/// searching is as in the mixin.
class SeedStore : public Store {
 public:
  std::string name() const override;
  std::string class_name() const override;
  std::string origin() const override;
  std::vector<std::string> shown_fields() const override;
  std::function<bool(const RecordKey&)> keys_matching(const std::string& where) const override;
  Record read_fields(const RecordKey& key, const std::vector<std::string>& columns) const override;
  /// Every row of the source tables with all its columns.
  RecordCursor iter_records() const override;
  /// The stored vector of a row, else one of its text as it is now; empty where there is no text,
  /// or governance refuses it. Throws NotFound if there is no such row, else as encode_text().
  std::vector<float> vector_of(const RecordKey& key) const;

 protected:
  struct Traits;  // names, schema and default files of a class: seed_traits.h
  SeedStore(const Traits& traits, const std::filesystem::path& database, SeedStoreOptions seed,
            EmbeddableOptions options);
  static EmbeddableOptions options_in(const Traits& traits, const std::filesystem::path& folder);

  const std::string& source_menace_id() const noexcept { return seed_.source_menace_id; }
  std::string now() const;  // YYYY-MM-DDTHH:MM:SS.ffffff, UTC
  bool has_table(const std::string& table) const { return tables_.contains(table); }
  /// Makes a table of the schema that a file of the original lacks; for methods that write.
  void need_table(const std::string& table);

  /// Inserts a row and returns its id. With `hashed` columns the content hash over them is stored
  /// too, and a row that has it already is not inserted again: its id is returned and
  /// report->duplicate set.
  std::int64_t insert(const std::string& table, Fields row, const std::vector<std::string>& hashed,
                      AddReport* report,
                      const std::function<void(std::int64_t id)>& insert_links = {});
  /// Changes columns of one row, and its content hash. Throws NotFound for an unknown id or column,
  /// InvalidArgument if the row would become equal to another one.
  void update(const std::string& table, std::int64_t id, const Fields& fields,
              const std::vector<std::string>& hashed);
  /// Embeds the row as iter_records() gives it, if asked to. An Error goes into the report.
  void embed_row(const RecordKey& key, AddReport* report);
  void link(const std::string& table, const Fields& row);
  std::vector<std::int64_t> linked(const std::string& table, const std::string& where_column,
                                   std::int64_t id, const std::string& column) const;
  std::vector<Record> rows(const std::string& sql, const std::vector<Value>& parameters) const;
  /// " AND source_menace_id = ..." as SQL with one parameter ?1; for kAll a condition that is
  /// always true.
  static std::string scope_condition(Scope scope);
  /// Hits with their rows as they are now, the backend's distance added as `_distance`; of rows of
  /// this scope only.
  std::vector<Record> found_records(std::span<const float> vector, std::size_t top_k,
                                    Scope scope = Scope::kAll) const;

 private:
  const Traits& traits_;
  SeedStoreOptions seed_;
  void add_sources();
  void look_at_tables();

  std::set<std::string> tables_;
  bool tables_changed_ = false;
  struct SourceTable {
    TableSchema schema;
    std::string key_column;
    std::string key_space;
  };
  std::vector<SourceTable> sources_;
};

/// One of the six as the registry and `store create` open it.
struct SeedStoreKind {
  std::string name;                  // "bot"
  std::string class_name;            // "BotDB"
  std::string file;                  // "bots.db"
  std::vector<std::string> aliases;  // lower case
  EmbeddableOptions (*default_options)(const std::filesystem::path& folder);
  std::unique_ptr<Store> (*open)(const std::filesystem::path& database, SeedStoreOptions seed,
                                 EmbeddableOptions options);
};
/// In the order of `--all` (reference §10): bot, workflow, error, information, enhancement,
/// research.
std::span<const SeedStoreKind> seed_store_kinds();

}  // namespace nearlite
