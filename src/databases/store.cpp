#include "nearlite/databases/store.h"

#include <sqlite3.h>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"

namespace nearlite {
namespace {

std::filesystem::path file_of(sqlite3* handle) {
  const char* name = handle == nullptr ? nullptr : sqlite3_db_filename(handle, "main");
  return name == nullptr ? "" : name;
}

std::vector<std::string> names_in(const Record& record) {
  std::vector<std::string> names;
  for (const auto& [name, value] : record.fields()) names.push_back(name);
  return names;
}

}  // namespace

Store::Store(sqlite3* handle, EmbeddableOptions options)
    : EmbeddableDBMixin(handle, std::move(options)), database_(file_of(handle)) {}

std::vector<std::string> Store::shown_fields() const {
  RecordCursor records = iter_records();
  SourceRecord first;
  return records.next(first) ? names_in(first.record) : std::vector<std::string>{};
}

std::function<bool(const RecordKey&)> Store::keys_matching(const std::string& /*where*/) const {
  throw InvalidArgument("the store \"" + name() + "\" takes no condition");
}

Record Store::read_fields(const RecordKey& key, const std::vector<std::string>& columns) const {
  Record fields;
  const auto row = iter_records().find(key);
  if (!row) return fields;
  for (const std::string& column : columns) {
    const Value* value = row->record.find(column);
    if (value == nullptr) {
      const auto known = names_in(row->record);
      const auto near = nearest_name(column, known);
      throw NotFound("\"" + name() + "\" has no column \"" + column + "\"" +
                     (near ? "; did you mean \"" + *near + "\"?" : ".") +
                     " Columns: " + join_names(known));
    }
    fields.set(column, *value);
  }
  return fields;
}

}  // namespace nearlite
