#include "nearlite/databases/table_store.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/names.h"
#include "nearlite/governance/rule_gate.h"
#include "sql_condition.h"

namespace nearlite {
namespace {

void add_once(std::vector<std::string>& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(std::string_view(" \t\r\n\v\f\0", 7)) == std::string_view::npos;
}

std::string text_in(const Record& record, const std::string& column) {
  const Value* value = record.find(column);
  if (value == nullptr) return {};
  if (const Blob* blob = std::get_if<Blob>(value)) {
    throw InvalidArgument("column \"" + column + "\" holds a BLOB of " +
                          std::to_string(blob->bytes.size()) + " bytes, not text");
  }
  return text_of(*value);
}

constexpr std::size_t kRowsBetweenChecks = 1000;

/// A walk over all rows that first makes sure that the key tells them apart, where the schema does
/// not guarantee it, and now and then that the file is still the one in its place.
class CheckedSource : public RecordCursor::Source {
 public:
  CheckedSource(RecordCursor cursor, std::function<void()> check_key,
                std::function<void()> check_file)
      : cursor_(std::move(cursor)),
        check_key_(std::move(check_key)),
        check_file_(std::move(check_file)) {}
  bool next(SourceRecord& record) override {
    if (check_key_) {
      check_key_();
      check_key_ = nullptr;
    }
    const bool found = cursor_.next(record);
    if (!found || ++rows_ % kRowsBetweenChecks == 0) check_file_();
    return found;
  }
  std::optional<SourceRecord> find(const RecordKey& key) override { return cursor_.find(key); }
  std::size_t count() override { return cursor_.count(); }

 private:
  RecordCursor cursor_;
  std::function<void()> check_key_;
  std::function<void()> check_file_;
  std::size_t rows_ = 0;
};

std::uint64_t inode_of(const std::filesystem::path& file) {
  const std::optional<FileStamp> stamp = stamp_of(file);
  return stamp ? stamp->inode : 0;
}

void check_key_is_unique(const Connection& db, const std::string& select, const TableSchema& table,
                         const TableKey& key) {
  std::string columns;
  for (const std::string& name : key.columns) {
    columns += (columns.empty() ? "" : ", ") + quote_identifier(name);
  }
  Statement duplicates = db.prepare("SELECT " + columns + ", count(*) FROM (" + select +
                                    ") GROUP BY " + columns + " HAVING count(*) > 1 LIMIT 3");
  std::string examples;
  while (duplicates.step()) {
    std::vector<Value> values;
    for (int i = 0; i + 1 < duplicates.num_columns(); ++i) values.push_back(duplicates.value(i));
    const int last = duplicates.num_columns() - 1;
    if (!examples.empty()) examples += ", ";
    const bool has_null = std::any_of(values.begin(), values.end(), [](const Value& value) {
      return std::holds_alternative<std::monostate>(value);
    });
    examples += (has_null ? "NULL" : RecordKey::of(values).display()) + " in " +
                std::to_string(duplicates.int64(last)) + " rows";
  }
  if (examples.empty()) return;
  throw NotFound("the key " + join_names(key.columns) + " of \"" + table.name +
                     "\" does not differ in each row: " + examples,
                 "name a key that does: key = [\"...\"] in nearlite.toml, or --key COLUMN");
}

}  // namespace

/// How the text of a row is put together: columns, or the parts of a template.
struct TableStore::TextParts {
  struct Part {
    std::string literal;
    std::string column;  // empty: a literal
  };
  std::vector<Part> parts;
  bool joined = true;  // columns by newlines; false: a template

  TextParts(const TableConfig& config, const TableSchema& table) {
    if (config.text_template.empty()) {
      for (const std::string& name : config.text) parts.push_back({"", known_column(table, name)});
    } else {
      joined = false;
      parse(config.text_template, table);
    }
    if (columns().empty() && config.vector.empty()) {
      throw InvalidArgument("the store \"" + config.name + "\" embeds no column of \"" +
                            table.name + "\"");
    }
  }

  std::vector<std::string> columns() const {
    std::vector<std::string> names;
    for (const Part& part : parts) {
      if (!part.column.empty()) add_once(names, part.column);
    }
    return names;
  }

  void parse(const std::string& pattern, const TableSchema& table) {
    std::string literal;
    for (std::size_t at = 0; at < pattern.size(); ++at) {
      const char c = pattern[at];
      const bool doubled = at + 1 < pattern.size() && pattern[at + 1] == c;
      if ((c == '{' || c == '}') && doubled) {
        literal += c;
        ++at;
      } else if (c == '{') {
        const std::size_t end = pattern.find('}', at);
        if (end == std::string::npos) {
          throw InvalidArgument("the template " + pattern + " opens a { that is not closed",
                                "write {{ for a brace");
        }
        if (!literal.empty()) parts.push_back({literal, ""});
        literal.clear();
        parts.push_back({"", known_column(table, pattern.substr(at + 1, end - at - 1))});
        at = end;
      } else if (c == '}') {
        throw InvalidArgument("the template " + pattern + " closes a } that was not opened",
                              "write }} for a brace");
      } else {
        literal += c;
      }
    }
    if (!literal.empty()) parts.push_back({literal, ""});
  }

  std::string of(const Record& record) const {
    std::string text;
    bool any = false;
    for (const Part& part : parts) {
      const std::string value = part.column.empty() ? part.literal : text_in(record, part.column);
      const bool counts = !part.column.empty() && !is_blank(value);
      if (joined && !counts) continue;
      if (joined && any) text += '\n';
      text += value;
      any = any || counts;
    }
    return any ? text : std::string();  // a template without any value says nothing
  }
};

TableStore::TableStore(TableConfig config, EmbeddableOptions options, std::string shown_name)
    : TableStore(std::make_shared<Connection>(Connection::open_source(config.database)),
                 std::move(config), std::move(options), std::move(shown_name)) {}

TableStore::TableStore(std::shared_ptr<Connection> connection, TableConfig&& config,
                       EmbeddableOptions options, std::string shown_name)
    : Store(std::move(connection), std::move(options), config.database),
      config_(std::move(config)),
      inode_(inode_of(config_.database)),
      shown_name_(shown_name.empty() ? config_.name : std::move(shown_name)),
      schema_(read_table(Store::connection(), config_.table)),
      key_(key_of(Store::connection(), schema_, config_.key)),
      text_parts_(std::make_unique<const TextParts>(config_, schema_)) {
  if (!config_.where.empty()) check_condition(Store::connection(), schema_, config_.where);
  if (!config_.updated.empty()) config_.updated = known_column(schema_, config_.updated);
  if (!config_.vector.empty()) config_.vector = known_column(schema_, config_.vector);
  for (std::string& name : config_.expose) {
    const bool is_key = std::find(key_.columns.begin(), key_.columns.end(), name) !=
                        key_.columns.end();  // also a bare rowid, which is no column
    if (!is_key) name = known_column(schema_, name);
  }
  for (const std::string& name : text_parts_->columns()) add_once(columns_, name);
  for (const std::string& name : config_.expose) add_once(columns_, name);
  for (const std::string& name : {config_.vector, config_.updated}) {
    if (!name.empty()) add_once(columns_, name);
  }
  std::erase_if(columns_, [this](const std::string& name) {
    return std::find(key_.columns.begin(), key_.columns.end(), name) != key_.columns.end();
  });
}

TableStore::~TableStore() = default;

EmbeddableOptions TableStore::options_for(const TableConfig& config,
                                          const std::filesystem::path& sidecar_folder) {
  EmbeddableOptions options;
  options.backend = config.backend.value_or(Backend::kAuto);
  options.index_path = sidecar_folder / (config.name + ".index");
  options.metadata_path = sidecar_folder / (config.name + ".json");
  if (!config.model.empty()) options.model_name = config.model;
  options.store_name = config.name;
  options.text_template = text_template_id(config);
  options.gate = builtin_gate(gate_level_of(config.governance));
  set_generation(options, config.generation);
  return options;
}

std::vector<std::string> TableStore::shown_fields() const {
  if (!config_.expose.empty()) return config_.expose;
  std::vector<std::string> fields = key_.columns;
  for (const std::string& name : text_parts_->columns()) add_once(fields, name);
  return fields;
}

std::function<bool(const RecordKey&)> TableStore::keys_matching(const std::string& where) const {
  return keys_where(database_path(),
                    {{.table = schema_, .key = key_.columns, .key_space = std::string()}}, where);
}

Record TableStore::read_fields(const RecordKey& key,
                               const std::vector<std::string>& columns) const {
  return read_row_fields(connection(), schema_, key_.columns, key, columns);
}

std::string TableStore::text(const Record& record) const { return text_parts_->of(record); }

std::optional<std::vector<float>> TableStore::vector(const Record& record) const {
  if (config_.vector.empty()) return std::nullopt;
  const std::string column = "column \"" + config_.vector + "\" ";
  const Value* value = record.find(config_.vector);
  if (value == nullptr || std::holds_alternative<std::monostate>(*value))
    throw InvalidArgument(column + "is NULL: there is no vector");
  const Blob* blob = std::get_if<Blob>(value);
  if (blob == nullptr) throw InvalidArgument(column + "holds no BLOB of float32");
  const std::size_t bytes = blob->bytes.size();
  if (bytes == 0 || bytes % sizeof(float) != 0) {
    throw InvalidArgument(column + "holds " + std::to_string(bytes) +
                          " bytes, no whole number of float32 values");
  }
  std::vector<float> vector(bytes / sizeof(float));
  std::memcpy(vector.data(), blob->bytes.data(), bytes);
  return vector;
}

std::string TableStore::select(const std::vector<std::string>& columns, bool with_where) const {
  std::vector<std::string> names = key_.columns;
  names.insert(names.end(), columns.begin(), columns.end());
  std::string sql =
      "SELECT " + select_list(schema_, names) + " FROM " + quote_identifier(schema_.name);
  if (with_where && !config_.where.empty()) sql += " WHERE (" + config_.where + "\n)";
  return sql;
}

void TableStore::check_same_file() const {
  if (inode_of(config_.database) == inode_) return;
  throw Unavailable(config_.database.string() + " was replaced or removed while it was open",
                    "run the same command again: it goes on with the new file");
}

RecordCursor TableStore::iter_records() const { return walk(columns_); }

RecordCursor TableStore::iter_versions() const {
  const bool in_key =
      std::find(key_.columns.begin(), key_.columns.end(), config_.updated) != key_.columns.end();
  return walk(in_key ? std::vector<std::string>{} : std::vector<std::string>{config_.updated});
}

RecordCursor TableStore::walk(const std::vector<std::string>& columns) const {
  check_same_file();
  RecordCursor rows =
      query(select(columns, true),
            {.kind = config_.name, .num_key_columns = static_cast<int>(key_.columns.size())});
  std::function<void()> check_key;
  if (!key_.proven) {
    check_key = [this] { check_key_is_unique(connection(), select({}, true), schema_, key_); };
  }
  return RecordCursor(std::make_unique<CheckedSource>(std::move(rows), std::move(check_key),
                                                      [this] { check_same_file(); }));
}

void set_generation(EmbeddableOptions& options, int generation) {
  if (generation <= 1) return;
  options.sidecar_path = options.index_path;
  options.sidecar_path.replace_extension(".g" + std::to_string(generation) + ".sqlite");
}

std::string text_template_id(const TableConfig& config) {
  if (!config.vector.empty()) return "vector:" + config.vector;
  if (!config.text_template.empty()) return "template:" + config.text_template;
  return "columns:" + join_names(config.text, "\n");
}

}  // namespace nearlite
