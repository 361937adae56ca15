#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/embeddable/embeddable_db_mixin.h"
#include "nearlite/store/connection.h"

namespace nearlite::kill_test {

/// The store under test: notes of a database, embedded by the tiny deterministic encoder of the
/// unit tests.
class NoteDB : public EmbeddableDBMixin {
 public:
  NoteDB(sqlite3* db, EmbeddableOptions options) : EmbeddableDBMixin(db, std::move(options)) {}
  std::string text(const Record& note) const override { return note.get("body"); }
  RecordCursor iter_records() const override {
    return query("SELECT id, body FROM note", {.kind = "note"});
  }
};

EmbeddableOptions store_options(const std::filesystem::path& folder, const std::string& name);

/// What the process under test does until it is done or killed: prints a line for each thing that
/// it promises to keep.
int run_worker(const std::filesystem::path& folder, std::string_view task);

/// Knows what the source held at every moment, and what was promised. Uses nothing of the code
/// under test to judge it but the encoder, whose vectors anybody can compute.
class Checker {
 public:
  explicit Checker(std::filesystem::path folder) : folder_(std::move(folder)) {}

  void wrote(std::int64_t id, const std::string& text);
  void deleted(std::int64_t id) { live_.erase(id); }
  /// The worker acknowledged the vector of this record.
  void promised(std::int64_t id, const std::string& text) {
    promised_[id] = text;
    removed_.erase(id);
  }
  /// The worker acknowledged that the vector of this record is gone.
  void removed(std::int64_t id) {
    promised_.erase(id);
    removed_.insert(id);
  }
  /// Reads lines of a worker: "ID TEXT" or "-ID" is what it acknowledged, "?ID" what it is about to
  /// remove, so that both are right. A line that is cut off is no promise.
  void read_promises(const std::string& printed);
  /// The same knowledge of a copy of the files in another folder.
  Checker in(const std::filesystem::path& folder) const;

  /// After a kill: every vector is right and whole, no record twice, everything promised is there.
  void check_after_kill();
  /// After a finished run: source, sidecar, JSON and an undisturbed run agree.
  void check_after_run();

  /// Finds out now what check_after_run() compares answers with; else it does when it needs them.
  void ask_undisturbed();

  /// Of a question and a text, computed from nothing but them.
  static float similarity(std::string_view question, std::string_view text);

  const std::map<std::int64_t, std::string>& live() const { return live_; }
  std::size_t num_failures() const { return failures_; }

 private:
  /// One answer of an undisturbed run: key and similarity of each hit.
  using Answer = std::vector<std::pair<std::string, float>>;

  void fail(const std::string& what);
  std::map<std::string, std::string> stored_texts();

  std::filesystem::path folder_;
  std::map<std::int64_t, std::string> live_;
  std::map<std::uint64_t, std::string> texts_;  // by hash, of all times
  std::map<std::int64_t, std::string> promised_;
  std::set<std::int64_t> removed_;
  std::map<std::int64_t, std::string> asked_with_;  // live_ when calm_answers_ were made
  std::vector<Answer> calm_answers_;                // one per question
  std::size_t failures_ = 0;
};

}  // namespace nearlite::kill_test
