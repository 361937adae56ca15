#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nearlite/databases/config.h"
#include "nearlite/databases/schema.h"
#include "nearlite/databases/store.h"

namespace nearlite {

/// Any table or view of any SQLite file as a store. The file is opened by Connection::open_source
/// and never changed.
class TableStore : public Store {
 public:
  /// Opens config.database and checks table, key, columns and condition against it; reads no rows.
  /// `shown_name`: the name in the registry when it differs from config.name, which names the
  /// sidecar. Throws NotFound (file, table, column: with the nearest name and the list),
  /// InvalidArgument (condition, template, no key), CorruptData, Unavailable (hot journal).
  TableStore(TableConfig config, EmbeddableOptions options, std::string shown_name = {});
  ~TableStore() override;

  /// Where the truth, index and JSON of this store are inside its sidecar folder, with everything
  /// else from the config.
  static EmbeddableOptions options_for(const TableConfig& config,
                                       const std::filesystem::path& sidecar_folder);

  std::string name() const override { return shown_name_; }
  std::string class_name() const override { return shown_name_; }
  std::vector<std::string> shown_fields() const override;
  std::function<bool(const RecordKey&)> keys_matching(const std::string& where) const override;
  Record read_fields(const RecordKey& key, const std::vector<std::string>& columns) const override;
  std::string text(const Record& record) const override;
  /// The value of config().vector; throws InvalidArgument for a row that has none.
  std::optional<std::vector<float>> vector(const Record& record) const override;
  std::string updated_column() const override { return config_.updated; }
  RecordCursor iter_versions() const override;
  /// Throws Unavailable once another file stands in the place of the one that was opened.
  RecordCursor iter_records() const override;

  const TableConfig& config() const noexcept { return config_; }
  const TableKey& key() const noexcept { return key_; }

 private:
  TableStore(std::shared_ptr<Connection> connection, TableConfig&& config,
             EmbeddableOptions options, std::string shown_name);
  void check_same_file() const;
  RecordCursor walk(const std::vector<std::string>& columns) const;
  std::string select(const std::vector<std::string>& columns, bool with_where) const;

  TableConfig config_;
  std::uint64_t inode_ = 0;  // of the file that the connection reads
  std::string shown_name_;
  TableSchema schema_;
  TableKey key_;
  std::vector<std::string> columns_;  // read for each record, after the key: text, exposed
  struct TextParts;
  std::unique_ptr<const TextParts> text_parts_;
};

/// The files of a model generation: NAME.sqlite for the first, NAME.g2.sqlite, ... for later ones.
void set_generation(EmbeddableOptions& options, int generation);

/// What TableStore keeps in EmbeddableOptions::text_template, and so in the sidecar: a change makes
/// vectors stale.
std::string text_template_id(const TableConfig& config);

}  // namespace nearlite
