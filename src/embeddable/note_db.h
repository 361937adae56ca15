#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <memory>
#include <string>

#include "fake_encoder.h"
#include "nearlite/embeddable/embeddable_db_mixin.h"
#include "nearlite/store/connection.h"
#include "nearlite_test/temporary_folder.h"

namespace nearlite {

/// A store over the table note(id, body).
class NoteDB : public EmbeddableDBMixin {
 public:
  NoteDB(sqlite3* db, EmbeddableOptions options) : EmbeddableDBMixin(db, std::move(options)) {}
  std::string text(const Record& note) const override {
    if (note.get("body") == "throw") throw std::runtime_error("the hook failed");
    return note.get("body");
  }
  RecordCursor iter_records() const override {
    return query("SELECT id, body FROM note",
                 {.kind = "note", .table = {}, .num_key_columns = 1, .source_id = {}});
  }
};

/// A temporary folder with a database of notes and the store files beside it.
class NotesTest : public testing::Test {
 protected:
  NotesTest() : db_(Connection::open(folder_ / "notes.db", true)) {
    db_.execute("CREATE TABLE note(id INTEGER PRIMARY KEY, body)");
  }
  EmbeddableOptions options(const std::string& name = "notes") const {
    EmbeddableOptions options;
    options.backend = Backend::kAnnoy;
    options.index_path = folder_ / (name + ".index");
    options.store_name = "notes";
    options.encoder = encoder_;
    return options;
  }
  NoteDB open() { return NoteDB(db_.handle(), options()); }
  void note(std::int64_t id, const std::string& body) {
    db_.prepare("INSERT OR REPLACE INTO note(id, body) VALUES (?1, ?2)")
        .run(id, std::string_view(body));
  }
  std::filesystem::path file(const std::string& name) const { return folder_ / name; }

  /// Display forms of the keys found, best first.
  static std::vector<std::string> found(const EmbeddableDBMixin& db, const std::string& question,
                                        std::size_t k = 10) {
    std::vector<std::string> keys;
    for (const Hit& hit : db.search(question, k)) keys.push_back(hit.key.display());
    return keys;
  }

  const TemporaryFolder temporary_{FolderPlace::kMemory};
  const std::filesystem::path folder_ = temporary_.path();
  Connection db_;
  std::shared_ptr<FakeEncoder> encoder_ = std::make_shared<FakeEncoder>();
};

}  // namespace nearlite
