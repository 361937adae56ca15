// A program that owns a SQLite database and gives it semantic search. Built by the three projects
// beside it. usage: notes MODEL-FOLDER DATA-FOLDER; prints the key of the best note for a question.
#include <nearlite/core.h>
#include <sqlite3.h>

#include <cstdio>
#include <exception>
#include <string>

namespace {

class NoteDB : public nearlite::EmbeddableDBMixin {
 public:
  NoteDB(sqlite3* db, nearlite::EmbeddableOptions options)
      : EmbeddableDBMixin(db, std::move(options)) {}
  std::string text(const nearlite::Record& note) const override { return note.get("body"); }
  nearlite::RecordCursor iter_records() const override {
    return query("SELECT id, body FROM note", {.kind = "note"});
  }
};

int run(const std::string& model, const std::string& folder) {
  sqlite3* db = nullptr;
  if (sqlite3_open((folder + "/notes.db").c_str(), &db) != SQLITE_OK) return 1;
  sqlite3_exec(db,
               "DROP TABLE IF EXISTS note; CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT);"
               "INSERT INTO note VALUES(1, 'Water the tomatoes every morning'),"
               "(2, 'The router is reset by holding its button for ten seconds'),"
               "(3, 'Dentist appointment on Thursday')",
               nullptr, nullptr, nullptr);
  int found = 0;
  {
    NoteDB notes(db, {.index_path = folder + "/notes.index",
                      .encoder = nearlite::open_encoder(model, {.threads = 1})});
    notes.backfill_embeddings();
    for (const nearlite::Hit& hit : notes.search("how do I restart the wireless box?", 1)) {
      std::printf("note %s, similarity %.3f, SQLite %s\n", hit.key.display().c_str(),
                  static_cast<double>(hit.similarity), sqlite3_libversion());
      if (hit.key == nearlite::RecordKey(2)) ++found;
    }
  }
  sqlite3_close(db);
  return found == 1 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    return run(argv[1], argv[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "notes: %s\n", error.what());
    return 1;
  }
}
