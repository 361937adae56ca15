#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "nearlite/databases/config.h"
#include "nearlite/store/connection.h"

namespace nearlite {

struct ProposalOptions {
  /// Tables asked for with their columns (none: chosen by the rules). When given, nothing else is
  /// proposed.
  std::vector<std::pair<std::string, std::vector<std::string>>> tables{};
  std::vector<std::string> columns{};  // only these, in whatever table they are
  std::set<std::string> excluded_tables{};
  std::set<std::string> recorded_tables{};  // are stores already: not looked at
  std::vector<std::string> key{};           // for the tables asked for
  std::string where{};
  std::vector<std::string> taken_names{};  // store names in use
  std::size_t sampled_rows = 1000;         // per table
};

struct ProposedColumn {
  std::string name{};
  std::string reason{};  // "prose: 14 words on average"
};

/// One store that nearlite would make.
struct ProposedTable {
  TableConfig config{};  // name, table, key, text are set; database is left to the caller
  std::vector<ProposedColumn> columns{};
  std::vector<std::string> key{};  // that rows are told apart by
  bool bare_rowid = false;         // VACUUM renumbers its keys
  std::uint64_t rows = 0;
  std::uint64_t tokens = 0;  // estimated from the sampled rows, for all rows
  std::string reason{};
};

struct LeftOut {
  std::string table{};
  std::string column{};  // empty: the whole table
  std::string reason{};
};

struct Proposal {
  std::vector<ProposedTable> tables{};  // most text first
  std::vector<LeftOut> left_out{};      // in schema order
};

/// Which tables and text columns to embed, and why. Counts rows and reads samples: at most
/// sampled_rows of a table, spread over it where its rowids allow. The same database gives the same
/// proposal. Credentials (by name or shape), ids, hashes, numbers, paths, mail addresses, dates,
/// encoded data, sqlite_*, shadow, session and migration tables are left out. Throws NotFound for
/// an unknown table or column asked for.
Proposal propose(const Connection& db, const std::filesystem::path& database,
                 const ProposalOptions& options = {});

}  // namespace nearlite
