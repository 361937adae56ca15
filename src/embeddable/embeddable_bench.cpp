// What storing costs beside the model: a fake encoder makes the vectors (384 dimensions) in next to
// no time.
//   build/release/bin/nearlite_embeddable_bench [records]
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "nearlite/base/checksum.h"
#include "nearlite/base/clock.h"
#include "nearlite/base/files.h"
#include "nearlite/embeddable/embeddable_db_mixin.h"
#include "nearlite/store/connection.h"

namespace nearlite {
namespace {

constexpr std::size_t kDim = 384;

/// A unit vector from the hash of the text.
class HashEncoder : public TextEncoder {
 public:
  HashEncoder() {
    info_.name = "bench/hash";
    info_.identity = "hash-384";
    info_.dim = kDim;
  }
  const ModelInfo& info() const override { return info_; }
  EncodedBatch encode(std::span<const std::string_view> texts, TextRole) const override {
    EncodedBatch batch;
    batch.dim = kDim;
    batch.vectors.reserve(texts.size() * kDim);
    for (const std::string_view text : texts) {
      std::uint64_t bits = xxh3_64(text);
      for (std::size_t i = 0; i < kDim; ++i) {
        bits = bits * 6364136223846793005ULL + 1442695040888963407ULL;
        batch.vectors.push_back(
            static_cast<float>(static_cast<double>(bits >> 40) / 8388608.0 - 1.0) * 0.0884F);
      }
    }
    return batch;
  }
  EncodedBatch encode_with_prompt(std::span<const std::string_view> texts,
                                  const std::string&) const override {
    return encode(texts, TextRole::kPlain);
  }
  TokenizedText tokenize(std::string_view) const override { return {}; }
  std::vector<Passage> passages(std::string_view text) const override { return {{0, text.size()}}; }

 private:
  ModelInfo info_;
};

class PackageDB : public EmbeddableDBMixin {
 public:
  PackageDB(sqlite3* db, EmbeddableOptions options) : EmbeddableDBMixin(db, std::move(options)) {}
  std::string text(const Record& package) const override { return package.get("description"); }
  RecordCursor iter_records() const override {
    return query("SELECT id, description FROM package", {.kind = "package"});
  }
};

void fill(Connection& db, std::int64_t records) {
  db.execute("CREATE TABLE package(id INTEGER PRIMARY KEY, description TEXT)");
  db.prepare(
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?1) INSERT "
        "INTO package "
        "SELECT i, 'package ' || i || substr(hex(zeroblob(200)), 1, 400) FROM n")
      .run(records);
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

void bench_single_add(PackageDB& store, std::int64_t records) {
  constexpr int kAdds = 200;
  std::vector<double> adds;
  std::vector<double> first_searches;
  Record record;
  for (int i = 0; i < kAdds; ++i) {
    record.set("description", "added " + std::to_string(i));
    const Stopwatch adding;
    store.add_embedding(records + 1 + i, record, "package");
    adds.push_back(adding.elapsed_ms());
    const Stopwatch searching;
    store.search("added", 10);
    first_searches.push_back(searching.elapsed_ms());
  }
  std::printf(
      "single add, durable, %6ld records x %zu        p50 %7.3f ms   the search after it %7.3f "
      "ms\n",
      static_cast<long>(records), kDim, median(adds), median(first_searches));
  for (int i = 0; i < kAdds; ++i) store.remove_embedding(records + 1 + i);
}

/// The peer: the same 1,536 bytes inserted into a plain table with the same durability.
void bench_plain_insert(const std::filesystem::path& folder) {
  Connection db = Connection::open(folder / "plain.db", true);
  db.execute(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE v(id INTEGER PRIMARY "
      "KEY, vector BLOB)");
  const std::vector<float> vector(kDim, 0.5F);
  Statement insert = db.prepare("INSERT INTO v(vector) VALUES (?1)");
  std::vector<double> adds;
  for (int i = 0; i < 200; ++i) {
    const Stopwatch adding;
    insert.run(bytes_of(std::span<const float>(vector)));
    adds.push_back(adding.elapsed_ms());
  }
  std::printf("peer: plain SQLite INSERT, WAL, FULL, 1 x %zu          p50 %7.3f ms\n", kDim,
              median(adds));
}

void bench_backfill(std::int64_t records, const char* label) {
  std::string name = (std::filesystem::temp_directory_path() / "nearlite-bench-XXXXXX").string();
  const std::filesystem::path folder = ::mkdtemp(name.data());
  {
    Connection db = Connection::open(folder / "packages.db", true);
    fill(db, records);
    EmbeddableOptions options;
    options.backend = Backend::kAuto;
    options.index_path = folder / "packages.index";
    options.encoder = std::make_shared<HashEncoder>();
    PackageDB store(db.handle(), options);
    const auto report = [&](const char* what, const Stopwatch& watch) {
      const double ms = watch.elapsed_ms();
      std::printf("%-28s %7ld records x %zu  %9.1f ms  %9.0f records/s\n", what,
                  static_cast<long>(records), kDim, ms, static_cast<double>(records) / ms * 1000);
    };
    Stopwatch first;
    const BackfillResult result = store.backfill_embeddings({.batch_size = 256});
    report(label, first);
    std::printf("  of it sidecar and segment %9.1f ms\n", result.store_ms);
    Stopwatch second;
    store.backfill_embeddings();
    report("second run, no change", second);
    Stopwatch fresh;
    store.freshness();
    report("freshness", fresh);
    Stopwatch opening;
    PackageDB reopened(db.handle(), options);
    reopened.search("package 17", 10);
    std::printf("open and first search          %7.2f ms\n", opening.elapsed_ms());
    Stopwatch warm;
    for (int i = 0; i < 100; ++i)
      reopened.search_records(reopened.encode_text("package 17"), {.k = 10});
    std::printf("search_records, k = 10, warm   %7.3f ms\n", warm.elapsed_ms() / 100);
    bench_single_add(store, records);
    bench_plain_insert(folder);
    EmbeddableOptions annoy = options;
    annoy.backend = Backend::kAnnoy;
    PackageDB with_file(db.handle(), annoy);
    Stopwatch publishing;
    with_file.save_index();
    report("segment, annoy file, JSON", publishing);
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace nearlite

int main(int argc, char** argv) {
  const std::int64_t large = argc > 1 ? std::atoll(argv[1]) : 50'000;
  nearlite::bench_backfill(1'000, "backfill, store alone");
  nearlite::bench_backfill(large, "backfill, store alone");
  return 0;
}
