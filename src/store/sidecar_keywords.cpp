// The words of passages: the FTS5 table `keyword`, whose rowid is the slot of the passage's vector.
#include <sqlite3.h>

#include <algorithm>
#include <string>

#include "keyword_tokenizer.h"
#include "nearlite/base/error.h"
#include "nearlite/store/sidecar.h"
#include "sidecar_schema.h"
#include "sidecar_state.h"

namespace nearlite {
namespace {

constexpr char kComplete[] = "keywords";  // fact; store "": the table was there from the first text

}  // namespace

bool Sidecar::has_keywords() {
  if (!state_->fts5) return false;
  Prepared row =
      state_->sql("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'keyword'");
  return row->step();
}

bool Sidecar::keywords_complete(std::string_view store) {
  return has_keywords() && (fact("", kComplete) || fact(store, kComplete));
}

void Sidecar::set_keywords_complete(std::string_view store) {
  if (!state_->fts5) return;
  create_keywords();
  set_fact(store, kComplete, "1");
}

void Sidecar::create_keywords() {
  if (state_->fts5 && !has_keywords()) state_->db.execute(kKeywordTables);
}

void Sidecar::put_keywords(std::int64_t slot, std::string_view text) {
  if (!state_->fts5 || text.empty()) return;
  create_keywords();
  state_->sql("INSERT OR REPLACE INTO keyword(rowid, text) VALUES (?1, ?2)")->run(slot, text);
}

void Sidecar::remove_keywords(std::span<const std::int64_t> slots) {
  if (slots.empty() || !has_keywords()) return;
  for (const std::int64_t slot : slots)
    state_->sql("DELETE FROM keyword WHERE rowid = ?1")->run(slot);
}

void Sidecar::add_keywords(const SourceKey& key, std::string_view text) {
  if (!state_->fts5) return;
  create_keywords();
  struct Place {
    std::int64_t slot;
    std::size_t begin;
    std::size_t end;
  };
  std::vector<Place> places;
  std::string governed;
  {
    Prepared row = state_->sql(
        "SELECT vector.slot, text_begin, text_end, governed_text FROM record JOIN vector ON "
        "vector.record = record.id WHERE record.store = ?1 AND source_table = ?2 AND record_key = "
        "?3 AND NOT EXISTS (SELECT 1 FROM keyword WHERE keyword.rowid = vector.slot)");
    row->bind(1, key.store).bind(2, key.table).bind(3, key.key);
    while (row->step()) {
      governed = row->text(3);
      places.push_back({row->int64(0), static_cast<std::size_t>(row->int64(1)),
                        static_cast<std::size_t>(row->int64(2))});
    }
  }
  if (!governed.empty()) text = governed;
  for (const Place& place : places) {
    if (place.end > text.size() || place.begin >= place.end) continue;
    put_keywords(place.slot, text.substr(place.begin, place.end - place.begin));
  }
}

KeywordSearch Sidecar::search_keywords(std::string_view store, std::string_view expression,
                                       std::size_t limit,
                                       const std::function<bool(std::int64_t slot)>& filter) {
  KeywordSearch found;
  if (expression.empty() || limit == 0 || !has_keywords()) return found;
  const bool alone = only_store(store);
  const auto passes = [&](std::int64_t slot) {
    return (alone || store_of_slot(slot) == store) && (!filter || filter(slot));
  };
  if (auto known = state_->keyword_lists->matches(state_->db, expression)) {
    // Best first; of equals the older slot.
    const auto before = [](const KeywordMatch& a, const KeywordMatch& b) {
      return a.score != b.score ? a.score > b.score : a.slot < b.slot;
    };
    std::vector<KeywordMatch>& all = known->matches;
    const bool whole = filter || !alone;
    const std::size_t in_order = whole ? all.size() : std::min(limit, all.size());
    std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(in_order), all.end(),
                      before);
    found.greatest = known->greatest;
    for (std::size_t i = 0; i < in_order && found.matches.size() < limit; ++i) {
      if (!whole || passes(all[i].slot)) found.matches.push_back(all[i]);
    }
    return found;
  }
  // The sorter of SQLite keeps `limit` rows only; with a filter all matches are needed in order.
  Prepared row = state_->sql(
      "SELECT rowid, nearlite_rank(keyword), nearlite_rank(keyword, 'greatest') FROM keyword "
      "WHERE keyword MATCH ?1 ORDER BY 2 DESC, 1 LIMIT ?2");
  const std::int64_t all = -1;
  row->bind(1, expression).bind(2, filter || !alone ? all : static_cast<std::int64_t>(limit));
  while (found.matches.size() < limit && row->step()) {
    found.greatest = row->real(2);
    if (passes(row->int64(0))) found.matches.push_back({row->int64(0), row->real(1)});
  }
  return found;
}

std::vector<std::int64_t> Sidecar::slots_of_records_with(std::string_view expression) {
  std::vector<std::int64_t> slots;
  if (expression.empty() || !has_keywords()) return slots;
  Prepared row = state_->sql(
      "SELECT slot FROM vector WHERE record IN (SELECT record FROM vector WHERE slot IN (SELECT "
      "rowid FROM keyword WHERE keyword MATCH ?1)) ORDER BY slot");
  row->bind(1, expression);
  while (row->step()) slots.push_back(row->int64(0));
  return slots;
}

bool Sidecar::only_store(std::string_view store) {
  Prepared row = state_->sql("SELECT 1 FROM model WHERE store <> ?1 LIMIT 1");
  row->bind(1, store);
  return !row->step();
}

std::string Sidecar::store_of_slot(std::int64_t slot) {
  Prepared row = state_->sql(
      "SELECT record.store FROM vector JOIN record ON record.id = vector.record WHERE slot = ?1");
  row->bind(1, slot);
  return row->step() ? std::string(row->text(0)) : std::string();
}

std::size_t Sidecar::num_keyword_orphans() {
  if (!has_keywords()) return 0;
  Prepared row = state_->sql(
      "SELECT count(*) FROM keyword_docsize WHERE NOT EXISTS "
      "(SELECT 1 FROM vector WHERE vector.slot = keyword_docsize.id)");
  row->step();
  return static_cast<std::size_t>(row->int64(0));
}

std::string Sidecar::check_keywords() {
  if (!has_keywords()) return "ok";
  try {
    state_->sql("INSERT INTO keyword(keyword) VALUES ('integrity-check')")->run();
  } catch (const Error& error) {
    return error.what();
  }
  return "ok";
}

void Sidecar::rebuild_keywords() {
  if (!has_keywords()) return;
  state_->sql("DELETE FROM keyword WHERE rowid NOT IN (SELECT slot FROM vector)")->run();
  state_->sql("INSERT INTO keyword(keyword) VALUES ('rebuild')")->run();
}

void Sidecar::merge_keywords() {
  if (has_keywords()) state_->sql("INSERT INTO keyword(keyword) VALUES ('optimize')")->run();
}

}  // namespace nearlite
