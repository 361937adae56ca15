#include "nearlite/retrieval/row_selection.h"

#include "nearlite/base/error.h"

namespace nearlite {

Scope scope_of(std::string_view name) {
  if (name == "local") return Scope::kLocal;
  if (name == "global") return Scope::kGlobal;
  if (name == "all") return Scope::kAll;
  throw InvalidArgument("there is no scope \"" + std::string(name) + "\"",
                        "one of local global all");
}

std::function<bool(const RecordKey&)> keys_in_scope(const Store& store,
                                                    const RowSelection& selection) {
  if (selection.scope == Scope::kAll) return {};
  const bool local = selection.scope == Scope::kLocal;
  std::string own = "'";
  for (const char c : selection.own) own += c == '\'' ? std::string("''") : std::string(1, c);
  try {
    // NULL, which files of the original may hold, is nobody's name.
    return store.keys_matching("coalesce(source_menace_id, '') " + std::string(local ? "=" : "<>") +
                               " " + own + "'");
  } catch (const NotFound&) {
    return [local](const RecordKey&) { return local; };  // there is no such column
  }
}

}  // namespace nearlite
