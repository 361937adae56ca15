// Walking over all records of a store, as little of each as possible.
#include "nearlite/store/sidecar.h"
#include "sidecar_state.h"

namespace nearlite {

namespace {

constexpr char kBriefColumns[] =
    "SELECT id, source_table, record_key, model, state, text_hash, last_updated, rules_version "
    "FROM record ";

RecordBrief brief_of(Prepared& row) {
  RecordBrief brief;
  brief.id = row->int64(0);
  brief.table = row->text(1);
  brief.key = row->text(2);
  brief.model = row->int64(3);
  brief.state = record_state_of(row->text(4));
  brief.text_hash = static_cast<std::uint64_t>(row->int64(5));
  brief.last_updated = row->text(6);
  brief.rules_version = row->text(7);
  return brief;
}

}  // namespace

void Sidecar::scan_records(std::string_view store,
                           const std::function<void(const RecordBrief&)>& visit) {
  Prepared row = state_->sql(std::string(kBriefColumns) + "WHERE +store = ?1");
  row->bind(1, store);
  while (row->step()) visit(brief_of(row));
}

void Sidecar::read_record(std::int64_t id, const std::function<void(const RecordBrief&)>& visit) {
  Prepared row = state_->sql(std::string(kBriefColumns) + "WHERE id = ?1");
  row->bind(1, id);
  while (row->step()) visit(brief_of(row));
}

std::vector<std::int64_t> Sidecar::damaged_records() {
  Prepared row = state_->sql("SELECT DISTINCT record FROM damaged ORDER BY record");
  std::vector<std::int64_t> records;
  while (row->step()) records.push_back(row->int64(0));
  return records;
}

std::optional<StoredPassages> Sidecar::passages_of(const SourceKey& key) {
  Prepared row = state_->sql(
      "SELECT governed_text, written_at, passage, text_begin, text_end, checksum, identity, "
      "vector.vector, record.id FROM record CROSS JOIN vector ON vector.record = record.id CROSS "
      "JOIN model ON model.id = record.model WHERE record.store = ?1 AND source_table = ?2 AND "
      "record_key = ?3 ORDER BY record.model DESC, passage");
  row->bind(1, key.store).bind(2, key.table).bind(3, key.key);
  std::optional<StoredPassages> stored;
  std::int64_t record = 0;
  std::vector<float> values;
  while (row->step()) {
    if (stored && row->int64(8) != record) break;
    const auto blob = row->blob(7);
    if (static_cast<std::uint64_t>(row->int64(5)) !=
        vector_checksum(key, row->int64(2), row->text(6), blob)) {
      return std::nullopt;
    }
    if (!stored) stored.emplace();
    record = row->int64(8);
    stored->governed_text = row->text(0);
    stored->written_at = row->text(1);
    stored->passages.push_back(
        {static_cast<std::size_t>(row->int64(3)), static_cast<std::size_t>(row->int64(4))});
    copy_vector(blob, values);
    stored->vectors.insert(stored->vectors.end(), values.begin(), values.end());
  }
  return stored;
}

void Sidecar::take_decisions_from(const std::filesystem::path& other) {
  const Sidecar checked(other);  // ours, and with our tables
  {
    Statement attach = state_->db.prepare("ATTACH ?1 AS other");
    attach.bind(1, std::string_view(other.native()));
    attach.step();
  }
  {
    Transaction transaction = begin();
    for (const char* table : {"released", "erased", "imported"}) {
      state_->db.execute(std::string("INSERT OR REPLACE INTO main.") + table +
                         " SELECT * FROM other." + table);
    }
    transaction.commit();
  }
  state_->db.execute("DETACH other");
}

std::optional<std::string> Sidecar::written_at(const SourceKey& key) {
  Prepared row = state_->sql(
      "SELECT written_at FROM record WHERE store = ?1 AND source_table = ?2 AND record_key = ?3 "
      "AND state = 'embedded' ORDER BY model DESC LIMIT 1");
  row->bind(1, key.store).bind(2, key.table).bind(3, key.key);
  if (!row->step()) return std::nullopt;
  return std::string(row->text(0));
}

}  // namespace nearlite
