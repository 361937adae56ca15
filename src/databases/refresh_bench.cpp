// What a refresh costs beside the encoder: 63,666 rows of 400 characters, a second run with nothing
// to do, and one after 10 edits and 10 deletions; each once more with an updated column.
#include <cstdio>

#include "nearlite/base/clock.h"
#include "nearlite/databases/table_store.h"
#include "test_support.h"

namespace nearlite {
namespace {

constexpr int kRows = 63'666;

/// Vectors of 8 numbers from the length of the text: nothing, next to a model.
class NoEncoder : public WordCountEncoder {
 public:
  NoEncoder() { info_of_8_.dim = 8; }
  const ModelInfo& info() const override { return info_of_8_; }
  EncodedBatch encode(std::span<const std::string_view> texts, TextRole /*role*/) const override {
    EncodedBatch batch;
    batch.dim = 8;
    for (const std::string_view text : texts)
      for (int i = 0; i < 8; ++i)
        batch.vectors.push_back(static_cast<float>(text.size() % static_cast<std::size_t>(i + 7)) +
                                1);
    return batch;
  }

 private:
  ModelInfo info_of_8_ = WordCountEncoder().info();
};

void run(TableStore& store, const char* what) {
  const BackfillResult result = store.backfill_embeddings();
  std::printf("  %-28s %8.0f ms %9.0f rows/s   embedded %zu, unchanged %zu, removed %zu\n", what,
              result.wall_ms, kRows / result.wall_ms * 1000, result.embedded, result.unchanged,
              result.removed);
}

void measure(const DatabaseFolder& folder, bool trusted) {
  TableConfig config;
  config.name = trusted ? "trusted" : "compared";
  config.database = folder / "app.db";
  config.table = "note";
  config.text = {"body"};
  if (trusted) config.updated = "changed";
  EmbeddableOptions options = TableStore::options_for(config, folder / "app.db.nearlite");
  options.encoder = std::make_shared<NoEncoder>();
  options.gate = std::make_shared<PassAllGate>();
  TableStore store(config, options);
  std::printf("%s (%d rows x 400 characters)\n", config.name.c_str(), kRows);
  run(store, "first run");
  run(store, "nothing to do");
  run(store, "nothing to do, again");
  Connection db = Connection::open(folder / "app.db", false);
  db.execute("UPDATE note SET body = body || ' edited', changed = changed + 1 WHERE id % 6000 = 1");
  db.execute("DELETE FROM note WHERE id IN (SELECT id FROM note ORDER BY id DESC LIMIT 10)");
  run(store, "11 edits, 10 deletions");
  const Stopwatch watch;
  const Freshness freshness = store.freshness();
  const double ms = watch.elapsed_ms();
  std::printf("  %-28s %8.0f ms %9.0f rows/s   fresh %zu of %zu\n", "status", ms, kRows / ms * 1000,
              freshness.fresh, freshness.rows);
}

}  // namespace
}  // namespace nearlite

int main() {
  const nearlite::DatabaseFolder folder;
  folder.database("app.db",
                  "CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT, changed INTEGER);"
                  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 63666)"
                  "INSERT INTO note SELECT i, substr(printf('%06d ', i) || "
                  "replace(hex(zeroblob(40)), '00', 'some words '), 1, 400), 1 FROM n");
  nearlite::measure(folder, false);
  nearlite::measure(folder, true);
  return 0;
}
