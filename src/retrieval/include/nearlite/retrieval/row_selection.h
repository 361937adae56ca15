#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/databases/seed_store.h"
#include "nearlite/databases/store.h"

namespace nearlite {

/// Which rows may answer, beside conditions on their columns, and whether governance looks at them.
struct RowSelection {
  std::vector<std::string> kinds{};               // of records, as they were embedded; empty: all
  std::optional<std::chrono::seconds> max_age{};  // last updated, or embedded, so long ago at most
  // Rows whose source_menace_id is `own`, those of the others, or all. In a table that does not say
  // whose its rows are, all are this instance's own.
  Scope scope = Scope::kAll;
  std::string own{};
  bool governed = false;            // what governance forbids is left out, secrets are redacted
  double max_alert_severity = 1.0;  // with `governed`
};

/// "local", "global", "all". Throws InvalidArgument that lists them.
Scope scope_of(std::string_view name);

/// The keys in the scope; an empty function: all. Throws as Store::keys_matching.
std::function<bool(const RecordKey&)> keys_in_scope(const Store& store,
                                                    const RowSelection& selection);

}  // namespace nearlite
