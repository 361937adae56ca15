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

/// A store that the registry can open by name: one of the six, or a declared table. Owns its
/// connection.
class Store : public EmbeddableDBMixin {
 public:
  Store(std::shared_ptr<Connection> connection, EmbeddableOptions options,
        std::filesystem::path database)
      : EmbeddableDBMixin(connection->handle(), std::move(options)),
        connection_(std::move(connection)),
        database_(std::move(database)) {}

  virtual std::string name() const = 0;        // "bot", "packages"
  virtual std::string class_name() const = 0;  // "BotDB"; a declared table: its name
  virtual std::string origin() const {
    return name();
  }  // label in results: "bot", ..., "info", or the name
  /// Columns that hits show: key and text columns, or what the configuration exposes.
  virtual std::vector<std::string> shown_fields() const = 0;
  /// Keys of the rows for which an SQL condition over the source table holds: the filter of search
  /// --where. Throws InvalidArgument if the condition is not a read-only expression.
  virtual std::function<bool(const RecordKey&)> keys_matching(const std::string& where) const = 0;
  /// Named columns of one row as it is now, also ones that iter_records() leaves out; empty if the
  /// row is gone. Throws NotFound for an unknown column, with the nearest known one.
  virtual Record read_fields(const RecordKey& key,
                             const std::vector<std::string>& columns) const = 0;

  const std::filesystem::path& database_path() const noexcept { return database_; }

 protected:
  Connection& connection() const noexcept { return *connection_; }

 private:
  std::shared_ptr<Connection> connection_;
  std::filesystem::path database_;
};

}  // namespace nearlite
