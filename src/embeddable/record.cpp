#include "nearlite/embeddable/record.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "damaged_rows.h"
#include "nearlite/base/error.h"
#include "nearlite/base/hex.h"

namespace nearlite {
namespace {

using Json = nlohmann::json;

Blob blob_of(const std::string& hex) {
  if (hex.size() % 2 != 0 || hex.find_first_not_of("0123456789abcdef") != std::string::npos) {
    throw InvalidArgument("\"" + hex + "\" is not a BLOB in lower-case hex digits");
  }
  const auto digit = [](char c) {
    return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
  };
  Blob blob;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    blob.bytes.push_back(static_cast<std::byte>(digit(hex[i]) * 16 + digit(hex[i + 1])));
  }
  return blob;
}

Json json_of(const Value& value) {
  struct Visitor {
    Json operator()(std::monostate) const { throw InvalidArgument("a key is NULL"); }
    Json operator()(std::int64_t number) const { return number; }
    Json operator()(double number) const { return number; }
    Json operator()(const std::string& text) const { return text; }
    Json operator()(const Blob& blob) const { return Json{{"blob", hex_of(blob.bytes)}}; }
  };
  return std::visit(Visitor{}, value);
}

Value value_of(const Json& json) {
  if (json.is_number_integer() && !json.is_number_unsigned()) return json.get<std::int64_t>();
  if (json.is_number_unsigned()) {
    const auto number = json.get<std::uint64_t>();
    if (number <= static_cast<std::uint64_t>(INT64_MAX)) return static_cast<std::int64_t>(number);
  }
  if (json.is_number_float()) return json.get<double>();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_object() && json.size() == 1 && json.contains("blob") && json["blob"].is_string()) {
    return blob_of(json["blob"].get<std::string>());
  }
  throw InvalidArgument("a key holds " + json.dump() + "; wanted a number, a string or a BLOB");
}

std::string dump(const Json& json) {
  try {
    return json.dump();
  } catch (const Json::exception&) {
    throw InvalidArgument("a text key is not valid UTF-8");
  }
}

}  // namespace

RecordKey::RecordKey(std::int64_t id) : json(std::to_string(id)) {}

RecordKey::RecordKey(std::string_view id) : json(dump(Json(id))) {}

RecordKey RecordKey::of(std::span<const Value> values, std::string table) {
  if (values.empty()) throw InvalidArgument("a record key has no columns");
  RecordKey key;
  key.table = std::move(table);
  if (const auto* id = std::get_if<std::int64_t>(&values[0]); id != nullptr && values.size() == 1) {
    key.json = std::to_string(*id);  // nearly all keys
  } else if (values.size() == 1) {
    key.json = dump(json_of(values[0]));
  } else {
    Json array = Json::array();
    for (const Value& value : values) array.push_back(json_of(value));
    key.json = dump(array);
  }
  return key;
}

std::vector<Value> RecordKey::values() const {
  const Json parsed = Json::parse(json, nullptr, false);
  if (parsed.is_discarded()) throw InvalidArgument("\"" + json + "\" is not a record key");
  std::vector<Value> values;
  if (parsed.is_array()) {
    for (const Json& item : parsed) values.push_back(value_of(item));
  } else {
    values.push_back(value_of(parsed));
  }
  return values;
}

std::string RecordKey::display() const {
  const Json parsed = Json::parse(json, nullptr, false);
  const std::string text = parsed.is_string() ? parsed.get<std::string>() : json;
  return table.empty() ? text : table + ":" + text;
}

std::string Record::get(std::string_view column) const {
  const Value* value = find(column);
  return value == nullptr ? "" : text_of(*value);
}

const Value* Record::find(std::string_view column) const {
  for (const auto& [name, value] : fields_) {
    if (name == column) return &value;
  }
  return nullptr;
}

void Record::set(std::string column, Value value) {
  for (auto& [name, old] : fields_) {
    if (name == column) {
      old = std::move(value);
      return;
    }
  }
  fields_.emplace_back(std::move(column), std::move(value));
}

namespace {

class ChainSource : public RecordCursor::Source {
 public:
  explicit ChainSource(std::vector<RecordCursor> cursors) : cursors_(std::move(cursors)) {}
  bool next(SourceRecord& record) override {
    for (; current_ < cursors_.size(); ++current_) {
      try {
        if (cursors_[current_].next(record)) return true;
      } catch (const DamagedRows& damage) {  // of this table: the others are read
        damage_.insert(damage_.end(), damage.ranges().begin(), damage.ranges().end());
      }
    }
    if (!damage_.empty()) throw DamagedRows(std::exchange(damage_, {}));
    return false;
  }
  std::optional<SourceRecord> find(const RecordKey& key) override {
    for (RecordCursor& cursor : cursors_) {
      if (auto found = cursor.find(key)) return found;
    }
    return std::nullopt;
  }
  std::size_t count() override {
    std::size_t sum = 0;
    for (RecordCursor& cursor : cursors_) sum += cursor.count();
    return sum;
  }

 private:
  std::vector<RecordCursor> cursors_;
  std::size_t current_ = 0;
  std::vector<std::string> damage_;
};

class ListSource : public RecordCursor::Source {
 public:
  explicit ListSource(std::vector<SourceRecord> records) : records_(std::move(records)) {}
  bool next(SourceRecord& record) override {
    if (current_ == records_.size()) return false;
    record = records_[current_++];
    return true;
  }
  std::optional<SourceRecord> find(const RecordKey& key) override {
    for (const SourceRecord& record : records_) {
      if (record.key == key) return record;
    }
    return std::nullopt;
  }
  std::size_t count() override { return records_.size(); }

 private:
  std::vector<SourceRecord> records_;
  std::size_t current_ = 0;
};

}  // namespace

RecordCursor RecordCursor::chain(std::vector<RecordCursor> cursors) {
  return RecordCursor(std::make_unique<ChainSource>(std::move(cursors)));
}

RecordCursor RecordCursor::of(std::vector<SourceRecord> records) {
  return RecordCursor(std::make_unique<ListSource>(std::move(records)));
}

}  // namespace nearlite
