// A program that owns a SQLite database and gives it semantic search with EmbeddableDBMixin.
// usage: notes MODEL-FOLDER FOLDER "QUESTION"   prints the best note; exit 1 if none is found
#include <nearlite/core.h>
#include <sqlite3.h>

#include <cstdio>
#include <string>

class NoteDB : public nearlite::EmbeddableDBMixin {
 public:
  NoteDB(sqlite3* db, nearlite::EmbeddableOptions options)
      : EmbeddableDBMixin(db, std::move(options)) {}
  std::string text(const nearlite::Record& note) const override { return note.get("body"); }
  nearlite::RecordCursor iter_records() const override {
    return query("SELECT id, body FROM note", {.kind = "note"});
  }
};

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const std::string folder = argv[2];
  sqlite3* db = nullptr;
  sqlite3_open((folder + "/notes.db").c_str(), &db);
  sqlite3_exec(db,
               "DROP TABLE IF EXISTS note; CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT);"
               "INSERT INTO note VALUES(1, 'Water the tomatoes every morning'),"
               "(2, 'The router is reset by holding its button for ten seconds'),"
               "(3, 'Dentist appointment on Thursday')",
               nullptr, nullptr, nullptr);
  int result = 1;
  try {
    NoteDB notes(db, {.index_path = folder + "/notes.index", .model_name = argv[1]});
    notes.backfill_embeddings();
    for (const nearlite::Hit& hit : notes.search(argv[3], 1)) {
      std::printf("note %s, similarity %.3f, SQLite %s\n", hit.key.display().c_str(),
                  static_cast<double>(hit.similarity), sqlite3_libversion());
      result = 0;
    }
  } catch (const nearlite::Error& error) {
    std::fprintf(stderr, "notes: %s\n", error.what());
    result = error.exit_code();
  }
  sqlite3_close(db);
  return result;
}
