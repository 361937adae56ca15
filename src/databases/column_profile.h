#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/databases/schema.h"

namespace nearlite {

/// What the sampled values of one column look like.
struct ColumnProfile {
  std::string name;
  std::size_t rows = 0;   // sampled
  std::size_t texts = 0;  // of them: text that is not blank
  std::size_t numbers = 0;
  std::size_t blobs = 0;
  std::size_t distinct = 0;  // different texts
  double words = 0;          // per text, on average
  double letters = 0;        // share of the characters that are letters
  double tokens = 0;         // estimated, per sampled row
  std::string
      shape;  // what most texts are: "web addresses", "dates", ...; empty: nothing of that kind
  std::vector<std::string> samples;  // for comparing columns with each other, one per row
};

/// Why a column is left out before its values are read, by its name: "a credential, by its name";
/// empty: it is read.
std::string reason_by_name(std::string_view column);
/// Why a table is left out by its name; empty: it is looked into.
std::string table_reason_by_name(std::string_view table);

/// The kind that one value has: "numbers", "ids", "hashes or keys", "credentials", ...; empty:
/// ordinary text.
std::string shape_of_value(std::string_view text);

/// Reads at most `max_rows` rows of the columns, spread over the table by rowid where it has one.
std::vector<ColumnProfile> profile_columns(const Connection& db, const TableSchema& table,
                                           const std::vector<std::string>& columns,
                                           std::uint64_t num_rows, std::size_t max_rows);

}  // namespace nearlite
