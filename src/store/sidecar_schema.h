#pragma once

namespace nearlite {

constexpr int kSidecarApplicationId = 0x6e6c7465;  // 'nlte'
constexpr int kSidecarSchema = 1;

// Every table and column is described in docs/formats/sidecar.md. Small columns stand before the
// large ones, so that reading them does not load overflow pages.
constexpr char kSidecarTables[] = R"(
CREATE TABLE model(
  id INTEGER PRIMARY KEY, store TEXT NOT NULL, identity TEXT NOT NULL, dim INTEGER NOT NULL CHECK(dim > 0),
  text_template TEXT NOT NULL, embedding_version INTEGER NOT NULL, name TEXT NOT NULL, created_at TEXT NOT NULL,
  UNIQUE(store, identity, dim, text_template, embedding_version));
CREATE TABLE record(
  id INTEGER PRIMARY KEY, store TEXT NOT NULL, source_table TEXT NOT NULL, record_key TEXT NOT NULL,
  model INTEGER REFERENCES model(id), state TEXT NOT NULL CHECK(state IN ('embedded','skipped','blocked','empty')),
  text_hash INTEGER NOT NULL, kind TEXT NOT NULL, source_id TEXT NOT NULL, last_updated TEXT NOT NULL,
  reason TEXT NOT NULL, decision TEXT NOT NULL, rules_version TEXT NOT NULL, written_at TEXT NOT NULL,
  governed_text TEXT,
  UNIQUE(store, source_table, record_key, model));
CREATE INDEX record_by_text ON record(store, text_hash);
CREATE TABLE vector(
  slot INTEGER PRIMARY KEY AUTOINCREMENT, record INTEGER NOT NULL REFERENCES record(id), passage INTEGER NOT NULL,
  text_begin INTEGER NOT NULL, text_end INTEGER NOT NULL, text_hash INTEGER NOT NULL, created_at TEXT NOT NULL,
  checksum INTEGER NOT NULL, vector BLOB NOT NULL,
  UNIQUE(record, passage));
CREATE TABLE imported(
  store TEXT NOT NULL, source_table TEXT NOT NULL, record_key TEXT NOT NULL, text_hash INTEGER NOT NULL,
  kind TEXT NOT NULL, source_id TEXT NOT NULL, imported_at TEXT NOT NULL, entry TEXT NOT NULL, content TEXT,
  PRIMARY KEY(store, source_table, record_key)) WITHOUT ROWID;
CREATE TABLE removal(change INTEGER PRIMARY KEY AUTOINCREMENT, store TEXT NOT NULL, slot INTEGER NOT NULL);
CREATE TABLE damaged(slot INTEGER PRIMARY KEY, record INTEGER NOT NULL, found_at TEXT NOT NULL);
CREATE INDEX damaged_by_record ON damaged(record);
CREATE TABLE manifest(
  store TEXT NOT NULL, kind TEXT NOT NULL, file TEXT NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL,
  xxh3 INTEGER NOT NULL, generation INTEGER NOT NULL, last_slot INTEGER NOT NULL, last_change INTEGER NOT NULL,
  count INTEGER NOT NULL, model_identity TEXT NOT NULL, backend TEXT NOT NULL, calibration TEXT NOT NULL,
  created_at TEXT NOT NULL, PRIMARY KEY(store, kind)) WITHOUT ROWID;
-- What people decided about single records.
CREATE TABLE released(
  store TEXT NOT NULL, source_table TEXT NOT NULL, record_key TEXT NOT NULL, text_hash INTEGER NOT NULL,
  released_at TEXT NOT NULL, PRIMARY KEY(store, source_table, record_key)) WITHOUT ROWID;
CREATE TABLE erased(
  store TEXT NOT NULL, key_hash TEXT NOT NULL, erased_at TEXT NOT NULL, complete INTEGER NOT NULL, windows BLOB NOT NULL,
  PRIMARY KEY(store, key_hash)) WITHOUT ROWID;
CREATE TABLE fact(store TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY(store, name)) WITHOUT ROWID;
-- How many records of a store are embedded: fact 'records', kept here so that nobody has to count.
CREATE TRIGGER record_added AFTER INSERT ON record WHEN NEW.state = 'embedded' BEGIN
  INSERT INTO fact(store, name, value) VALUES (NEW.store, 'records', '1')
    ON CONFLICT(store, name) DO UPDATE SET value = CAST(value AS INTEGER) + 1;
END;
CREATE TRIGGER record_removed AFTER DELETE ON record WHEN OLD.state = 'embedded' BEGIN
  UPDATE fact SET value = CAST(value AS INTEGER) - 1 WHERE store = OLD.store AND name = 'records';
END;
CREATE TABLE lease(
  store TEXT PRIMARY KEY, token TEXT NOT NULL, pid INTEGER NOT NULL, host TEXT NOT NULL, process_start INTEGER NOT NULL,
  started_at TEXT NOT NULL, heartbeat_at TEXT NOT NULL) WITHOUT ROWID;
)";

// The words of the passages, for search by keyword; rowid is vector.slot. Beside the tables above,
// since a SQLite without FTS5 has no such table, and an older sidecar gets it at its next backfill.
// No trigger removes words: a program that repairs a sidecar by hand lacks their tokenizer.
constexpr char kKeywordTables[] = R"(
CREATE VIRTUAL TABLE keyword USING fts5(text, tokenize = 'nearlite');
)";

}  // namespace nearlite
