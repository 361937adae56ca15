#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/store/sidecar.h"
#include "sidecar_state.h"

namespace nearlite {
namespace {

static_assert(std::endian::native == std::endian::little,
              "vectors are stored as little-endian float32");

StoredRecord stored_record_of(Prepared& row) {
  StoredRecord record;
  record.id = row->int64(0);
  record.table = row->text(1);
  record.key = row->text(2);
  record.model = row->int64(3);
  record.state = record_state_of(row->text(4));
  record.text_hash = static_cast<std::uint64_t>(row->int64(5));
  record.reason = row->text(6);
  record.rules_version = row->text(7);
  record.governed_text = row->text(8);
  record.damaged = row->int64(9) != 0;
  record.last_updated = row->text(10);
  return record;
}

void check_passages(const RecordWrite& record) {
  for (const PassageWrite& passage : record.passages) {
    for (const float value : passage.vector) {
      if (!std::isfinite(value)) throw InvalidArgument("a vector holds a value that is not finite");
    }
    if (passage.vector.empty()) throw InvalidArgument("a vector has no dimensions");
  }
  if ((record.state == RecordState::kEmbedded) == record.passages.empty()) {
    throw InvalidArgument("an embedded record has vectors, any other has none");
  }
}

}  // namespace

std::uint64_t vector_checksum(const SourceKey& key, std::int64_t passage,
                              std::string_view model_identity, std::span<const std::byte> vector) {
  std::string owner;
  for (const std::string_view part : {key.store, key.table, key.key, model_identity}) {
    owner.append(part);
    owner.push_back('\0');
  }
  owner += std::to_string(passage);
  return xxh3_64(vector, xxh3_64(owner));
}

void copy_vector(std::span<const std::byte> blob, std::vector<float>& values) {
  values.resize(blob.size() / sizeof(float));
  if (!values.empty())
    std::memcpy(values.data(), blob.data(),
                values.size() * sizeof(float));  // a blob is not aligned
}

std::int64_t Sidecar::put_model(std::string_view store, const ModelGeneration& model) {
  const auto dim = static_cast<std::int64_t>(model.dim);
  Prepared find = state_->sql(
      "SELECT id FROM model WHERE store = ?1 AND identity = ?2 AND dim = ?3 AND text_template = ?4 "
      "AND "
      "embedding_version = ?5");
  find->bind(1, store).bind(2, std::string_view(model.identity)).bind(3, dim);
  find->bind(4, std::string_view(model.text_template))
      .bind(5, std::int64_t{model.embedding_version});
  if (find->step()) return find->int64(0);
  const std::string now = state_->now();
  state_
      ->sql(
          "INSERT INTO model(store, identity, dim, text_template, embedding_version, name, "
          "created_at) "
          "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
      ->run(store, std::string_view(model.identity), dim, std::string_view(model.text_template),
            std::int64_t{model.embedding_version}, std::string_view(model.name),
            std::string_view(now));
  return state_->db.last_insert_rowid();
}

std::vector<ModelGeneration> Sidecar::models(std::string_view store) {
  Prepared row = state_->sql(
      "SELECT id, name, identity, dim, text_template, embedding_version FROM model WHERE store = "
      "?1 ORDER BY id");
  row->bind(1, store);
  std::vector<ModelGeneration> models;
  while (row->step()) {
    models.push_back({row->int64(0), std::string(row->text(1)), std::string(row->text(2)),
                      static_cast<std::size_t>(row->int64(3)), std::string(row->text(4)),
                      static_cast<int>(row->int64(5))});
  }
  return models;
}

std::vector<std::string> Sidecar::stores() {
  Prepared row = state_->sql("SELECT DISTINCT store FROM record ORDER BY store");
  std::vector<std::string> stores;
  while (row->step()) stores.emplace_back(row->text(0));
  return stores;
}

std::optional<StoredRecord> Sidecar::find_record(const SourceKey& key) {
  Prepared row = state_->sql(
      "SELECT id, source_table, record_key, model, state, text_hash, reason, rules_version, "
      "governed_text, "
      "EXISTS (SELECT 1 FROM damaged WHERE damaged.record = record.id), last_updated FROM record "
      "WHERE store = ?1 AND source_table = ?2 AND record_key = ?3 ORDER BY model DESC LIMIT 1");
  row->bind(1, key.store).bind(2, key.table).bind(3, key.key);
  if (!row->step()) return std::nullopt;
  return stored_record_of(row);
}

void Sidecar::for_each_record(std::string_view store,
                              const std::function<void(const StoredRecord&)>& visit) {
  Prepared row = state_->sql(
      "SELECT id, source_table, record_key, model, state, text_hash, reason, rules_version, "
      "governed_text, "
      "EXISTS (SELECT 1 FROM damaged WHERE damaged.record = record.id), last_updated FROM record "
      "WHERE store = "
      "?1 ORDER BY id");
  row->bind(1, store);
  while (row->step()) visit(stored_record_of(row));
}

std::size_t Sidecar::num_embedded(std::string_view store) {
  return static_cast<std::size_t>(std::stoull(fact(store, "records").value_or("0")));
}

std::size_t Sidecar::count_vectors(std::string_view store, std::string_view model_identity,
                                   std::int64_t after, std::int64_t up_to) {
  Prepared row = state_->sql(
      "SELECT count(*) FROM vector CROSS JOIN record ON record.id = vector.record CROSS JOIN model "
      "ON model.id = record.model WHERE vector.slot > ?3 AND vector.slot <= ?4 AND "
      "(?1 = '' OR record.store = ?1) AND model.identity = ?2");
  row->bind(1, store).bind(2, model_identity).bind(3, after).bind(4, up_to);
  row->step();
  return static_cast<std::size_t>(row->int64(0));
}

std::optional<std::vector<std::int64_t>> Sidecar::remove_record(const SourceKey& key) {
  auto slots = remove_rows(key);
  state_->sql("DELETE FROM imported WHERE store = ?1 AND source_table = ?2 AND record_key = ?3")
      ->run(key.store, key.table, key.key);
  return slots;
}

void Sidecar::put_imported(const SourceKey& key, const ImportedRow& row, std::uint64_t text_hash) {
  state_
      ->sql(
          "INSERT OR REPLACE INTO imported(store, source_table, record_key, text_hash, kind, "
          "source_id, imported_at, entry, content) "
          "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, NULLIF(?9, ''))")
      ->run(key.store, key.table, key.key, static_cast<std::int64_t>(text_hash),
            std::string_view(row.kind), std::string_view(row.source_id),
            std::string_view(state_->now()), std::string_view(row.entry),
            std::string_view(row.content));
  state_
      ->sql(
          "UPDATE record SET kind = CASE kind WHEN '' THEN ?4 ELSE kind END, source_id = CASE "
          "source_id WHEN '' THEN ?5 ELSE source_id END "
          "WHERE store = ?1 AND source_table = ?2 AND record_key = ?3")
      ->run(key.store, key.table, key.key, std::string_view(row.kind),
            std::string_view(row.source_id));
}

std::optional<ImportedRow> Sidecar::imported(const SourceKey& key) {
  Prepared row = state_->sql(
      "SELECT kind, source_id, entry, content FROM imported WHERE store = ?1 AND source_table = ?2 "
      "AND record_key = ?3");
  row->bind(1, key.store).bind(2, key.table).bind(3, key.key);
  if (!row->step()) return std::nullopt;
  return ImportedRow{std::string(row->text(0)), std::string(row->text(1)),
                     std::string(row->text(2)), std::string(row->text(3))};
}

std::optional<std::vector<std::int64_t>> Sidecar::remove_rows(const SourceKey& key) {
  std::vector<std::int64_t> ids;
  {
    Prepared row = state_->sql(
        "SELECT id FROM record WHERE store = ?1 AND source_table = ?2 AND record_key = ?3");
    row->bind(1, key.store).bind(2, key.table).bind(3, key.key);
    while (row->step()) ids.push_back(row->int64(0));
  }
  if (ids.empty()) return std::nullopt;
  std::vector<std::int64_t> slots;
  for (const std::int64_t id : ids) {
    {
      Prepared row = state_->sql("SELECT slot FROM vector WHERE record = ?1 ORDER BY slot");
      row->bind(1, id);
      while (row->step()) slots.push_back(row->int64(0));
    }
    state_->sql("DELETE FROM vector WHERE record = ?1")->run(id);
    state_->sql("DELETE FROM damaged WHERE record = ?1")->run(id);
    state_->sql("DELETE FROM record WHERE id = ?1")->run(id);
  }
  remove_keywords(slots);
  for (const std::int64_t slot : slots) {
    state_->sql("INSERT INTO removal(store, slot) VALUES (?1, ?2)")->run(key.store, slot);
  }
  return slots;
}

void Sidecar::set_governance(const SourceKey& key, std::string_view decision,
                             std::string_view reason, std::string_view rules_version) {
  state_
      ->sql(
          "UPDATE record SET decision = ?4, reason = ?5, rules_version = ?6 WHERE store = ?1 AND "
          "source_table = ?2 AND record_key = ?3")
      ->run(key.store, key.table, key.key, decision, reason, rules_version);
}

std::size_t Sidecar::num_broken_links() {
  Prepared row = state_->sql(
      "SELECT (SELECT count(*) FROM vector WHERE NOT EXISTS (SELECT 1 FROM record WHERE record.id "
      "= vector.record)) + "
      "(SELECT count(*) FROM record WHERE (state = 'embedded') <> "
      "EXISTS (SELECT 1 FROM vector WHERE vector.record = record.id))");
  row->step();
  return static_cast<std::size_t>(row->int64(0));
}

std::size_t Sidecar::num_without_model(std::string_view store) {
  Prepared row = state_->sql(
      "SELECT count(*) FROM record WHERE store = ?1 AND state = 'embedded' AND NOT EXISTS (SELECT "
      "1 "
      "FROM model WHERE model.id = record.model AND model.store = record.store)");
  row->bind(1, store);
  row->step();
  return static_cast<std::size_t>(row->int64(0));
}

std::vector<std::int64_t> Sidecar::put_record(const RecordWrite& record) {
  check_passages(record);
  remove_rows(record.key);
  // What was imported stays with the record, but for a copy of a text that is not this one.
  state_
      ->sql(
          "UPDATE imported SET content = NULL WHERE store = ?1 AND source_table = ?2 AND "
          "record_key = ?3 AND text_hash <> ?4 AND content IS NOT NULL")
      ->run(record.key.store, record.key.table, record.key.key,
            static_cast<std::int64_t>(record.text_hash));
  const std::string now = record.written_at.empty() ? state_->now() : record.written_at;
  {
    Prepared insert = state_->sql(
        "INSERT INTO record(store, source_table, record_key, model, state, text_hash, kind, "
        "source_id, last_updated, "
        "reason, decision, rules_version, written_at, governed_text) "
        "VALUES (?1, ?2, ?3, NULLIF(?4, 0), ?5, ?6, "
        "coalesce(NULLIF(?7, ''), (SELECT kind FROM imported WHERE store = ?1 AND source_table = "
        "?2 AND record_key = ?3), ''), "
        "coalesce(NULLIF(?8, ''), (SELECT source_id FROM imported WHERE store = ?1 AND "
        "source_table = ?2 AND record_key = ?3), ''), "
        "?9, ?10, ?11, ?12, ?13, NULLIF(?14, ''))");
    insert->run(record.key.store, record.key.table, record.key.key, record.model,
                record_state_name(record.state), static_cast<std::int64_t>(record.text_hash),
                std::string_view(record.kind), std::string_view(record.source_id),
                std::string_view(record.last_updated), std::string_view(record.reason),
                std::string_view(record.decision), std::string_view(record.rules_version),
                std::string_view(now), std::string_view(record.governed_text));
  }
  const std::int64_t id = state_->db.last_insert_rowid();
  std::vector<std::int64_t> slots;
  if (record.passages.empty()) return slots;
  std::string identity;
  {
    Prepared model = state_->sql("SELECT identity, dim FROM model WHERE id = ?1");
    model->bind(1, record.model);
    if (!model->step())
      throw InvalidArgument("there is no model " + std::to_string(record.model) +
                            " in the sidecar");
    identity = model->text(0);
    for (const PassageWrite& passage : record.passages) {
      if (static_cast<std::int64_t>(passage.vector.size()) != model->int64(1)) {
        throw InvalidArgument("the vector has " + std::to_string(passage.vector.size()) +
                              " dimensions, the store has " + std::to_string(model->int64(1)));
      }
    }
  }
  std::int64_t number = 0;
  for (const PassageWrite& passage : record.passages) {
    const auto bytes = bytes_of(passage.vector);
    state_
        ->sql(
            "INSERT INTO vector(record, passage, text_begin, text_end, text_hash, created_at, "
            "checksum, vector) "
            "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")
        ->run(id, number, static_cast<std::int64_t>(passage.text_begin),
              static_cast<std::int64_t>(passage.text_end),
              static_cast<std::int64_t>(passage.text_hash), std::string_view(now),
              static_cast<std::int64_t>(vector_checksum(record.key, number, identity, bytes)),
              bytes);
    slots.push_back(state_->db.last_insert_rowid());
    put_keywords(slots.back(), passage.text);
    ++number;
  }
  return slots;
}

void Sidecar::scan_vectors(std::string_view store, std::string_view model_identity,
                           std::int64_t after, std::int64_t up_to,
                           const std::function<void(const VectorRow&)>& visit) {
  Prepared row = state_->sql(
      "SELECT vector.slot, record.id, vector.passage, vector.checksum, record.store, "
      "record.source_table, "
      "record.record_key, model.identity, model.dim, vector.vector FROM vector CROSS JOIN record "
      "ON record.id = vector.record "
      "CROSS JOIN model ON model.id = record.model WHERE vector.slot > ?3 AND vector.slot <= ?4 "
      "AND "
      "(?1 = '' OR record.store = ?1) AND model.identity = ?2 ORDER BY vector.slot");
  row->bind(1, store).bind(2, model_identity).bind(3, after).bind(4, up_to);
  std::vector<float> values;
  while (row->step()) {
    const auto blob = row->blob(9);
    copy_vector(blob, values);
    const SourceKey key{row->text(4), row->text(5), row->text(6)};
    const bool intact =
        static_cast<std::int64_t>(blob.size()) == row->int64(8) * std::int64_t{sizeof(float)} &&
        static_cast<std::uint64_t>(row->int64(3)) ==
            vector_checksum(key, row->int64(2), row->text(7), blob);
    visit({row->int64(0), row->int64(1), values, intact});
  }
}

std::optional<std::vector<float>> Sidecar::vector_of(const SourceKey& key, std::size_t passage) {
  Prepared row = state_->sql(
      "SELECT vector.checksum, model.identity, vector.vector FROM record CROSS JOIN vector ON "
      "vector.record = record.id "
      "JOIN model ON model.id = record.model WHERE record.store = ?1 AND record.source_table = ?2 "
      "AND "
      "record.record_key = ?3 AND vector.passage = ?4 ORDER BY record.model DESC LIMIT 1");
  const auto number = static_cast<std::int64_t>(passage);
  row->bind(1, key.store).bind(2, key.table).bind(3, key.key).bind(4, number);
  if (!row->step()) return std::nullopt;
  const auto blob = row->blob(2);
  if (static_cast<std::uint64_t>(row->int64(0)) !=
      vector_checksum(key, number, row->text(1), blob)) {
    throw CorruptData(
        file().string() + ": the vector of record " + std::string(key.key) +
            " is damaged (checksum)",
        "run `nearlite check --repair`, then `nearlite backfill`: it is embedded again");
  }
  std::vector<float> values;
  copy_vector(blob, values);
  return values;
}

std::optional<StoredPassages> Sidecar::passages_of_text(std::string_view store,
                                                        std::uint64_t text_hash,
                                                        std::int64_t model) {
  Prepared row = state_->sql(
      "SELECT record.id, source_table, record_key, governed_text, passage, text_begin, text_end, "
      "checksum, identity, vector.vector FROM record CROSS JOIN vector ON vector.record = "
      "record.id "
      "CROSS JOIN model ON model.id = record.model WHERE record.store = ?1 AND record.text_hash = "
      "?2 "
      "AND record.model = ?3 AND state = 'embedded' ORDER BY record.id, passage");
  row->bind(1, store).bind(2, static_cast<std::int64_t>(text_hash)).bind(3, model);
  std::optional<StoredPassages> stored;
  std::int64_t record = 0;
  std::vector<float> values;
  while (row->step()) {
    if (stored && row->int64(0) != record) break;
    const auto blob = row->blob(9);
    if (static_cast<std::uint64_t>(row->int64(7)) !=
        vector_checksum({store, row->text(1), row->text(2)}, row->int64(4), row->text(8), blob)) {
      return std::nullopt;
    }
    if (!stored) stored.emplace();
    record = row->int64(0);
    stored->governed_text = row->text(3);
    stored->passages.push_back(
        {static_cast<std::size_t>(row->int64(5)), static_cast<std::size_t>(row->int64(6))});
    copy_vector(blob, values);
    stored->vectors.insert(stored->vectors.end(), values.begin(), values.end());
  }
  return stored;
}

std::vector<std::int64_t> Sidecar::slots_of(const SourceKey& key) {
  Prepared row = state_->sql(
      "SELECT vector.slot FROM record CROSS JOIN vector ON vector.record = record.id WHERE "
      "record.store = ?1 AND "
      "record.source_table = ?2 AND record.record_key = ?3 ORDER BY vector.slot");
  row->bind(1, key.store).bind(2, key.table).bind(3, key.key);
  std::vector<std::int64_t> slots;
  while (row->step()) slots.push_back(row->int64(0));
  return slots;
}

namespace {

SlotInfo slot_info_of(Prepared& row) {
  SlotInfo info;
  info.slot = row->int64(0);
  info.store = row->text(1);
  info.table = row->text(2);
  info.key = row->text(3);
  info.passage = static_cast<std::size_t>(row->int64(4));
  info.text_begin = static_cast<std::size_t>(row->int64(5));
  info.text_end = static_cast<std::size_t>(row->int64(6));
  info.record_text_hash = static_cast<std::uint64_t>(row->int64(7));
  info.governed_text = row->text(8);
  info.record = row->int64(9);
  info.kind = row->text(10);
  info.last_updated = row->text(11);
  return info;
}

}  // namespace

std::optional<SlotInfo> Sidecar::find_slot(std::int64_t slot) {
  Prepared row = state_->sql(
      "SELECT vector.slot, store, source_table, record_key, passage, text_begin, text_end, "
      "record.text_hash, governed_text, record.id, kind, "
      "coalesce(NULLIF(last_updated, ''), written_at) FROM vector JOIN record ON record.id = "
      "vector.record WHERE "
      "vector.slot = ?1");
  row->bind(1, slot);
  if (!row->step()) return std::nullopt;
  return slot_info_of(row);
}

void Sidecar::for_each_slot(std::string_view store, std::string_view model_identity,
                            const std::function<void(const SlotInfo&)>& visit) {
  Prepared row = state_->sql(
      "SELECT vector.slot, record.store, source_table, record_key, passage, text_begin, text_end, "
      "record.text_hash, governed_text, record.id, kind, "
      "coalesce(NULLIF(last_updated, ''), written_at) FROM vector CROSS JOIN record ON record.id = "
      "vector.record CROSS "
      "JOIN model "
      "ON model.id = "
      "record.model WHERE (?1 = '' OR record.store = ?1) AND (?2 = '' OR model.identity = ?2) "
      "ORDER BY "
      "vector.slot");
  row->bind(1, store).bind(2, model_identity);
  while (row->step()) visit(slot_info_of(row));
}

std::vector<std::int64_t> Sidecar::slots_of_records_like(std::string_view store,
                                                         std::span<const std::string> kinds,
                                                         std::optional<std::int64_t> since) {
  // 'auto' reads a number as seconds since 1970 where it can be no Julian day.
  Prepared row = state_->sql(
      "SELECT vector.slot, record.kind FROM record CROSS JOIN vector ON vector.record = record.id "
      "WHERE record.store = ?1 AND (?2 IS NULL OR coalesce(unixepoch(NULLIF(last_updated, ''), "
      "'auto'), unixepoch(written_at)) >= ?2) ORDER BY vector.slot");
  row->bind(1, store);
  if (since) {
    row->bind(2, *since);
  } else {
    row->bind(2, nullptr);
  }
  std::vector<std::int64_t> slots;
  while (row->step()) {
    if (kinds.empty() || std::ranges::find(kinds, row->text(1)) != kinds.end())
      slots.push_back(row->int64(0));
  }
  return slots;
}

namespace {

void visit_places(Prepared& row, const std::function<void(const SlotPlace&)>& visit) {
  while (row->step()) visit({row->int64(0), row->int64(1), row->text(2), row->text(3)});
}

}  // namespace

void Sidecar::scan_slots(std::string_view store, std::int64_t after,
                         const std::function<void(const SlotPlace&)>& visit) {
  // Of the whole store by two indexes that hold all that is wanted; of the newest by slot.
  Prepared row = after <= 0 ? state_->sql(
                                  "SELECT vector.slot, record.id, source_table, record_key FROM "
                                  "record CROSS JOIN vector ON vector.record = record.id WHERE "
                                  "record.store = ?1 AND vector.slot > ?2")
                            : state_->sql(
                                  "SELECT vector.slot, record.id, source_table, record_key FROM "
                                  "vector CROSS JOIN record ON record.id = vector.record WHERE "
                                  "record.store = ?1 AND vector.slot > ?2 ORDER BY vector.slot");
  row->bind(1, store).bind(2, after);
  visit_places(row, visit);
}

void Sidecar::scan_slots_beside(std::int64_t slot,
                                const std::function<void(const SlotPlace&)>& visit) {
  Prepared row = state_->sql(
      "SELECT vector.slot, record.id, source_table, record_key FROM record CROSS JOIN vector ON "
      "vector.record = record.id WHERE record.id = (SELECT record FROM vector WHERE slot = ?1)");
  row->bind(1, slot);
  visit_places(row, visit);
}

void Sidecar::for_each_entry(const std::function<void(const RecordEntry&)>& visit) {
  Prepared row = state_->sql(
      "SELECT record.store, source_table, record_key, state, reason, record.kind, "
      "record.source_id, last_updated, written_at, "
      "model.embedding_version, vector.text_hash, record.id, imported.entry FROM record LEFT JOIN "
      "model ON model.id = record.model "
      "LEFT JOIN imported USING(store, source_table, record_key) "
      "LEFT JOIN vector ON vector.record = record.id ORDER BY record.store, source_table, "
      "record.id, vector.passage");
  std::optional<RecordEntry> entry;
  std::int64_t current = 0;
  while (row->step()) {
    if (!entry || row->int64(11) != current) {
      if (entry) visit(*entry);
      current = row->int64(11);
      entry.emplace();
      entry->store = row->text(0);
      entry->table = row->text(1);
      entry->key = row->text(2);
      entry->state = record_state_of(row->text(3));
      entry->reason = row->text(4);
      entry->kind = row->text(5);
      entry->source_id = row->text(6);
      entry->last_updated = row->text(7);
      entry->embedded_at = row->text(8);
      entry->embedding_version = static_cast<int>(row->int64(9));
      entry->imported = row->text(12);
    }
    if (!row->is_null(10))
      entry->passage_hashes.push_back(static_cast<std::uint64_t>(row->int64(10)));
  }
  if (entry) visit(*entry);
}

void Sidecar::mark_damaged(std::span<const std::int64_t> slots) {
  const std::string now = state_->now();
  for (const std::int64_t slot : slots) {
    state_
        ->sql(
            "INSERT OR IGNORE INTO damaged(slot, record, found_at) SELECT slot, record, ?2 FROM "
            "vector WHERE slot = ?1")
        ->run(slot, std::string_view(now));
  }
}

}  // namespace nearlite
