#include <cstdio>
#include <thread>

#include "fake_encoder.h"
#include "kill_test.h"

namespace nearlite::kill_test {

EmbeddableOptions store_options(const std::filesystem::path& folder, const std::string& name) {
  auto encoder = std::make_shared<FakeEncoder>();
  EmbeddableOptions options;
  options.backend = Backend::kAnnoy;
  options.index_path = folder / (name + ".index");
  options.store_name = "notes";
  options.encoder = encoder;
  return options;
}

int run_worker(const std::filesystem::path& folder, std::string_view task) {
  Connection db = Connection::open(folder / "notes.db", false);
  EmbeddableOptions options = store_options(folder, "notes");
  // A model takes its time: without this nearly every kill would hit the files and none the
  // batches.
  std::const_pointer_cast<FakeEncoder>(std::static_pointer_cast<const FakeEncoder>(options.encoder))
      ->on_encode = [] { std::this_thread::sleep_for(std::chrono::milliseconds(2)); };
  NoteDB notes(db.handle(), options);
  if (task == "add") {
    Statement rows = db.prepare("SELECT id, body FROM note ORDER BY id DESC LIMIT 20");
    while (rows.step()) {
      Record record;
      record.set("body", std::string(rows.text(1)));
      notes.add_embedding(rows.int64(0), record, "note");
      std::printf("%lld %s\n", static_cast<long long>(rows.int64(0)), record.get("body").c_str());
      std::fflush(stdout);
    }
    return 0;
  }
  notes.backfill_embeddings({.batch_size = 16});
  return 0;
}

}  // namespace nearlite::kill_test
