#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace nearlite {

struct FreshnessOptions {
  bool full = false;  // read all texts, also where a column says that they are unchanged
};

/// How well the vectors of a store fit its source rows, computed from the rows.
/// rows = fresh + stale_text + stale_model + missing + blocked + empty + skipped.
struct Freshness {
  std::size_t rows = 0;
  std::size_t fresh = 0;
  std::size_t stale_text = 0;   // the text is not the one that was embedded
  std::size_t stale_model = 0;  // other model, template, embedding version or decision of the rules
  std::size_t missing = 0;      // never embedded
  std::size_t blocked = 0;      // refused by governance, or erased
  std::size_t erased = 0;       // of blocked: on the do-not-embed list
  std::size_t empty = 0;        // NULL or blank text
  std::size_t skipped = 0;      // BLOB, invalid UTF-8: can never be embedded
  std::size_t orphan = 0;       // vectors whose row is gone
  // False: somebody wrote to a database with a rollback journal while its rows were counted, so
  // that they are not those of one moment. Never with a WAL.
  bool consistent = true;
  std::optional<double>
      oldest_lag_seconds{};  // since the oldest record that waits was first seen waiting
  std::string model{};
  std::string backend{};
  std::uint64_t index_bytes = 0;
  std::uint64_t sidecar_bytes = 0;
  std::string updated_column{};  // that was trusted for texts it calls unchanged; "": all were read
  std::string last_backfill{};   // RFC 3339 UTC; empty: never
};

}  // namespace nearlite
