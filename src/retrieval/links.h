#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "nearlite/retrieval/universal_retriever.h"

namespace nearlite {

/// The link tables of the seed stores (bots.db, errors.db, information.db, ...), read through
/// connections of its own. A table or file that is missing means no links.
class LinkTables {
 public:
  /// `databases`: origin -> file.
  explicit LinkTables(const std::map<std::string, std::filesystem::path>& databases);
  ~LinkTables();

  /// The bots of a row: a bot itself; of the others those that link tables name.
  std::set<std::int64_t> bots_of(const std::string& origin, std::int64_t id);
  /// Rows of bot_workflow and bot_enhancement for the bot.
  std::size_t deployments_of(std::int64_t bot);
  /// The number at `column` of the row, or nothing.
  std::optional<double> number(const std::string& origin, const std::string& table,
                               const std::string& column, std::int64_t id);

 private:
  std::vector<std::int64_t> ids(const std::string& origin, const std::string& table,
                                const std::string& wanted, const std::string& by, std::int64_t id);
  std::map<std::string, std::unique_ptr<Connection>> connections_;  // by origin
};

/// Marks the groups of results that share bots (transitively) with their path and members, and
/// multiplies the scores of groups of two or more: once, at most by 2.
void boost_links(std::span<ResultBundle> results, std::span<const std::set<std::int64_t>> bots,
                 double multiplier);

}  // namespace nearlite
