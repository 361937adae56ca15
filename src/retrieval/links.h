#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "nearlite/retrieval/universal_retriever.h"

namespace nearlite {

/// The link tables and figures of the seed stores (bots.db, errors.db, information.db, ...), read
/// through connections of its own, which stay open. A table or file that is missing means no links.
/// One thread at a time.
class LinkTables {
 public:
  LinkTables();
  ~LinkTables();

  /// A store whose tables may be asked. The first of an origin holds the tables of that origin.
  void add(const std::string& origin, const std::string& store,
           const std::filesystem::path& database);

  /// The bots of a row: a bot itself; of the others those that link tables name. Rows of two stores
  /// of the origin `information` that share a file have link tables of their own.
  std::set<std::int64_t> bots_of(const std::string& origin, const std::string& store,
                                 std::int64_t id);
  /// The figure that speaks for a row whatever the question is (reference 6.4): frequency, roi,
  /// usage or deploy; nothing for information, other stores, and rows that have none.
  std::optional<std::pair<std::string, double>> signal_of(const std::string& origin,
                                                          const std::string& store,
                                                          std::int64_t id);

 private:
  Connection* connection(const std::string& store);
  Connection* first_of(const std::string& origin);
  std::vector<std::int64_t> ids(Connection* db, const std::string& table, const std::string& wanted,
                                const std::string& by, std::int64_t id);
  std::optional<Value> value(Connection* db, const std::string& sql, const Value& parameter);
  std::set<std::int64_t> bots_of_information(const std::string& store, std::int64_t id);
  double usage_of(const std::string& store, std::int64_t id);
  std::optional<double> roi_of(const std::string& store, std::int64_t id);

  std::map<std::string, std::filesystem::path> databases_;  // by store
  std::map<std::string, std::string> first_;                // origin -> store
  std::map<std::string, std::unique_ptr<Connection>>
      connections_;  // by store; null: cannot be opened
};

/// The groups of results that are linked, directly or through others, each of two or more.
/// bots: of each result.
std::vector<std::vector<std::size_t>> groups_by_bots(std::span<const std::set<std::int64_t>> bots);
/// The same by the edges of a graph over the nodes "<origin>:<id>".
std::vector<std::vector<std::size_t>> groups_by_graph(std::span<const ResultBundle> results,
                                                      const KnowledgeGraph& neighbors);

/// Marks the groups with their path and members, and multiplies the scores of their members: once,
/// at most by 2. with_bot: a path without a bot gets one after its first type, since a bot is what
/// links them.
void boost_links(std::span<ResultBundle> results, std::span<const std::vector<std::size_t>> groups,
                 double multiplier, bool with_bot);

}  // namespace nearlite
