#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nearlite/embeddable/embeddable_db_mixin.h"

namespace nearlite {

/// Whether opening a seed store may make its empty database.
enum class Open { kExisting, kCreate };

/// A store that the registry can open by name: one of the six, a declared table, or one that a
/// program registers (Registry::register_class), which overrides name(), iter_records() and,
/// mostly, text().
class Store : public EmbeddableDBMixin {
 public:
  /// Owns its connection.
  Store(std::shared_ptr<Connection> connection, EmbeddableOptions options,
        std::filesystem::path database)
      : EmbeddableDBMixin(connection->handle(), std::move(options)),
        connection_(std::move(connection)),
        database_(std::move(database)) {}
  /// On a handle of the program's own, which must outlive the store.
  Store(sqlite3* handle, EmbeddableOptions options);

  virtual std::string name() const = 0;                      // "bot", "packages"
  virtual std::string class_name() const { return name(); }  // "BotDB"; a declared table: its name
  virtual std::string origin() const {
    return name();
  }  // label in results: "bot", ..., "info", or the name
  /// Columns that hits show: key and text columns, or what the configuration exposes. Here: those
  /// that iter_records() gives.
  virtual std::vector<std::string> shown_fields() const;
  /// Keys of the rows for which an SQL condition over the source table holds: the filter of search
  /// --where. Throws InvalidArgument if the condition is not a read-only expression, or (as here)
  /// if the store takes none.
  virtual std::function<bool(const RecordKey&)> keys_matching(const std::string& where) const;
  /// Named columns of one row as it is now, also ones that iter_records() leaves out (here: none
  /// but those it gives); empty if the row is gone. Throws NotFound for an unknown column, with the
  /// nearest known one.
  virtual Record read_fields(const RecordKey& key, const std::vector<std::string>& columns) const;

  const std::filesystem::path& database_path() const noexcept { return database_; }

 protected:
  /// Only of a store that owns its connection.
  Connection& connection() const noexcept { return *connection_; }

 private:
  std::shared_ptr<Connection> connection_;
  std::filesystem::path database_;
};

}  // namespace nearlite
