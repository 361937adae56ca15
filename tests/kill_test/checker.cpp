#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "fake_encoder.h"
#include "kill_test.h"
#include "nearlite/base/checksum.h"

namespace nearlite::kill_test {
namespace {

constexpr const char* kQuestions[] = {"red", "green door", "blue house tree", "seven lamps",
                                      "water and stone"};

}  // namespace

void Checker::fail(const std::string& what) {
  ++failures_;
  std::printf("FAILED: %s\n", what.c_str());
}

void Checker::wrote(std::int64_t id, const std::string& text) {
  live_[id] = text;
  texts_[xxh3_64(text)] = text;
}

void Checker::read_promises(const std::string& printed) {
  for (std::size_t at = 0; at < printed.size();) {
    const std::size_t end = printed.find('\n', at);
    if (end == std::string::npos) break;  // cut off by the kill
    const std::string line = printed.substr(at, end - at);
    at = end + 1;
    if (line.starts_with('?')) {
      promised_.erase(std::stoll(line.substr(1)));
    } else if (line.starts_with('-')) {
      removed(std::stoll(line.substr(1)));
    } else if (const auto blank = line.find(' '); blank != std::string::npos) {
      promised(std::stoll(line.substr(0, blank)), line.substr(blank + 1));
    }
  }
}

float Checker::similarity(std::string_view question, std::string_view text) {
  const auto one = FakeEncoder::vector_of(question);
  const auto two = FakeEncoder::vector_of(text);
  double sum = 0;
  for (std::size_t i = 0; i < one.size(); ++i) sum += double{one[i]} * double{two[i]};
  return static_cast<float>(sum);
}

Checker Checker::in(const std::filesystem::path& folder) const {
  Checker other = *this;
  other.folder_ = folder;
  other.failures_ = 0;
  return other;
}

/// key -> the text whose vector is stored; reports every vector that is not that of a text the
/// source ever had.
std::map<std::string, std::string> Checker::stored_texts() {
  std::map<std::string, std::string> stored;
  if (!std::filesystem::exists(folder_ / "notes.sqlite")) return stored;
  Connection db = Connection::open(folder_ / "notes.sqlite", false);
  Statement tables = db.prepare("SELECT count(*) FROM sqlite_master WHERE name = 'vector'");
  tables.step();
  if (tables.int64(0) == 0) return stored;  // killed before the tables were made
  tables.reset();
  Statement check = db.prepare("PRAGMA integrity_check");
  check.step();
  if (check.text(0) != "ok") fail("the sidecar is damaged: " + std::string(check.text(0)));
  check.reset();
  Statement rows = db.prepare(
      "SELECT record_key, record.text_hash, vector.vector, model.identity, (SELECT count(*) FROM "
      "vector v WHERE "
      "v.record = record.id) FROM record JOIN vector ON vector.record = record.id JOIN model ON "
      "model.id = record.model");
  while (rows.step()) {
    const std::string key(rows.text(0));
    const auto text = texts_.find(static_cast<std::uint64_t>(rows.int64(1)));
    if (text == texts_.end()) {
      fail("record " + key + " holds a text that never was");
      continue;
    }
    if (stored.contains(key)) fail("record " + key + " is there twice");
    if (rows.text(3) != "fake-1")
      fail("record " + key + " has the model " + std::string(rows.text(3)));
    const auto expected = FakeEncoder::vector_of(text->second);
    const auto blob = rows.blob(2);
    if (blob.size() != expected.size() * 4 ||
        std::memcmp(blob.data(), expected.data(), blob.size()) != 0) {
      fail("the vector of record " + key + " is not that of its text");
    }
    stored[key] = text->second;
  }
  Statement lost = db.prepare(
      "SELECT (SELECT count(*) FROM vector WHERE record NOT IN (SELECT id FROM record)) + "
      "(SELECT count(*) FROM record WHERE state = 'embedded' AND id NOT IN (SELECT record FROM "
      "vector))");
  lost.step();
  if (lost.int64(0) != 0) fail("records without vectors or vectors without records");
  return stored;
}

void Checker::check_after_kill() {
  const auto stored = stored_texts();
  for (const std::int64_t id : removed_) {
    if (stored.contains(std::to_string(id)))
      fail("record " + std::to_string(id) + " was removed and is back");
  }
  for (const auto& [id, text] : promised_) {
    const auto found = stored.find(std::to_string(id));
    const auto now = live_.find(id);
    if (now == live_.end()) continue;  // deleted since: a backfill may have removed it
    if (found == stored.end()) {
      fail("record " + std::to_string(id) + " was acknowledged and is gone");
    } else if (found->second != text && found->second != now->second) {
      fail("record " + std::to_string(id) + " went back to an older text");
    }
  }
}

void Checker::check_after_run() {
  const auto stored = stored_texts();
  if (stored.size() != live_.size()) {
    fail(std::to_string(stored.size()) + " records stored, the source has " +
         std::to_string(live_.size()));
  }
  std::multiset<std::string> expected_ids;
  for (const auto& [id, text] : live_) {
    expected_ids.insert(std::to_string(id));
    const auto found = stored.find(std::to_string(id));
    if (found == stored.end() || found->second != text)
      fail("record " + std::to_string(id) + " is not up to date");
  }
  const auto json = nlohmann::json::parse(std::ifstream(folder_ / "notes.json"), nullptr, false);
  if (json.is_discarded()) {
    fail("notes.json is no JSON");
    return;
  }
  std::multiset<std::string> ids;
  for (const auto& id : json["id_map"]) ids.insert(id.is_string() ? id.get<std::string>() : "null");
  if (ids != expected_ids) fail("the ids of notes.json are not those of the source");
  if (json["index_sha256"] != sha256_of_file(folder_ / "notes.index"))
    fail("notes.json names another index");

  Connection source = Connection::open(folder_ / "notes.db", false);
  NoteDB notes(source.handle(), store_options(folder_, "notes"));
  for (const CheckFinding& finding : notes.check(false))
    fail("check: " + finding.code + ": " + finding.message);
  ask_undisturbed();
  for (std::size_t q = 0; q < std::size(kQuestions); ++q) {
    for (const bool index_only : {false, true}) {
      const RecordSearchOptions options{.k = 10, .filter = {}, .index_only = index_only};
      const auto reply = notes.search_records(notes.encode_text(kQuestions[q]), options);
      bool equal = reply.hits.size() == calm_answers_[q].size();
      for (std::size_t i = 0; equal && i < reply.hits.size(); ++i) {
        const auto& hit = reply.hits[i];
        equal = hit.similarity == calm_answers_[q][i].second && !hit.stale &&
                live_.at(std::stoll(hit.key.json)) == hit.record.get("body");
      }
      // The forest of another insertion order may find other candidates; the exact answer may not
      // differ.
      if (!equal && !index_only)
        fail(std::string("another answer than the undisturbed run to: ") + kQuestions[q]);
      if (reply.hits.empty() && !live_.empty()) fail(std::string("no answer to: ") + kQuestions[q]);
    }
  }
  std::size_t segments = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
    const std::string file = entry.path().filename().string();
    if (file.find(".tmp-") != std::string::npos || file.find(".new") != std::string::npos)
      fail("left over: " + file);
    if (entry.path().extension() == ".vecs") ++segments;
  }
  if (segments != 1) fail(std::to_string(segments) + " segment files instead of one");
  promised_.clear();
  removed_.clear();
  for (const auto& [id, text] : live_) promised_[id] = text;
}

/// What a store answers that was made of the source at once, in a folder of its own.
void Checker::ask_undisturbed() {
  if (!calm_answers_.empty() && asked_with_ == live_) return;
  asked_with_ = live_;
  calm_answers_.clear();
  const auto calm_folder = folder_ / "undisturbed";
  std::filesystem::remove_all(calm_folder);
  std::filesystem::create_directory(calm_folder);
  {
    Connection source = Connection::open(folder_ / "notes.db", false);
    NoteDB calm(source.handle(), store_options(calm_folder, "notes"));
    calm.backfill_embeddings({.batch_size = 1000});
    for (const char* question : kQuestions) {
      Answer& answer = calm_answers_.emplace_back();
      for (const auto& hit : calm.search_records(calm.encode_text(question), {.k = 10}).hits)
        answer.emplace_back(hit.key.json, hit.similarity);
    }
  }
  std::filesystem::remove_all(calm_folder);
}

}  // namespace nearlite::kill_test
