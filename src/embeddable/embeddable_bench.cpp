// What storing costs beside the model: a fake encoder makes the vectors (384 dimensions) in next to
// no time.
//   build/release/bin/nearlite_embeddable_bench [records]
//   build/release/bin/nearlite_embeddable_bench adds [records...]   single and batch adds alone, as
//   JSON lines for tools/bench; files in TMPDIR
#include <fcntl.h>
#include <linux/magic.h>
#include <sqlite3.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "nearlite/base/checksum.h"
#include "nearlite/base/clock.h"
#include "nearlite/base/files.h"
#include "nearlite/embeddable/embeddable_db_mixin.h"
#include "nearlite/store/connection.h"
#include "nearlite/store/sidecar.h"

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

// ------------------------------------------------------------------------------------------------

void report_add(const char* task, const std::string& who, const std::string& shape, double value,
                const char* unit, const char* better) {
  std::printf(
      R"({"task": "%s", "who": "%s", "shape": "%s", "value": %.6g, "unit": "%s", "better": "%s"})"
      "\n",
      task, who.c_str(), shape.c_str(), value, unit, better);
  std::fflush(stdout);
}

/// Where a durable write goes decides what it costs.
const char* place_of(const std::filesystem::path& folder) {
  struct statfs system {};
  const bool in_memory = ::statfs(folder.c_str(), &system) == 0 && system.f_type == TMPFS_MAGIC;
  return in_memory ? ", files in memory" : ", files on disk";
}

double thread_ms() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1000 + static_cast<double>(time.tv_nsec) / 1e6;
}

/// What one durable write costs on this disk, whatever the program: 16 KiB over bytes that are
/// there, and fdatasync.
double median_sync_ms(const std::filesystem::path& folder) {
  const auto file = folder / "sync";
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const std::vector<char> bytes(std::size_t{16} << 10, 'x');
  std::vector<double> took;
  for (int i = 0; i < 201; ++i) {
    const Stopwatch watch;
    if (::pwrite(fd, bytes.data(), bytes.size(), 0) < 0 || ::fdatasync(fd) != 0) std::abort();
    took.push_back(watch.elapsed_ms());
  }
  ::close(fd);
  return median(took);
}

/// Writes records with vectors of their own, 10,000 to a transaction; the rate of the best one.
double fill_sidecar(PackageDB& store, std::int64_t records) {
  constexpr std::int64_t kBatch = 10'000;
  Sidecar sidecar(store.sidecar_path(), {.create = true});
  const std::string name = store.options().store_name;
  const HashEncoder encoder;
  std::vector<float> vectors;
  for (std::int64_t i = 0; i < kBatch; ++i) {
    const std::string each = "row " + std::to_string(i);
    const std::string_view one = each;
    const auto batch = encoder.encode(std::span(&one, 1), TextRole::kPlain);
    vectors.insert(vectors.end(), batch.vectors.begin(), batch.vectors.end());
  }
  double best = 0;
  for (std::int64_t done = 0; done < records; done += kBatch) {
    const Stopwatch watch;
    Transaction transaction = sidecar.begin();
    const std::int64_t model =
        sidecar.put_model(name, {0, "bench/hash", "hash-384", kDim, store.options().text_template,
                                 store.options().embedding_version});
    sidecar.set_fact(name, "model", std::to_string(model));
    const std::int64_t end = std::min(records, done + kBatch);
    for (std::int64_t i = done; i < end; ++i) {
      const std::string key = std::to_string(i + 1);
      const auto hash = xxh3_64(key);
      RecordWrite record;
      record.key = {name, "", key};
      record.model = model;
      record.text_hash = hash;
      record.kind = "package";
      record.passages.push_back({0, 0, hash,
                                 std::span<const float>(vectors).subspan(
                                     static_cast<std::size_t>(i % kBatch) * kDim, kDim)});
      sidecar.put_record(record);
    }
    transaction.commit();
    best = std::max(best, static_cast<double>(end - done) / watch.elapsed_ms() * 1000);
  }
  return best;
}

void bench_adds(std::int64_t records) {
  std::string name = (std::filesystem::temp_directory_path() / "nearlite-bench-XXXXXX").string();
  const std::filesystem::path folder = ::mkdtemp(name.data());
  {
    Connection db = Connection::open(folder / "packages.db", true);
    db.execute("CREATE TABLE package(id INTEGER PRIMARY KEY, description TEXT)");
    EmbeddableOptions options;
    options.backend = Backend::kAuto;
    options.index_path = folder / "packages.index";
    options.encoder = std::make_shared<HashEncoder>();
    PackageDB store(db.handle(), options);
    const std::string shape =
        std::to_string(records) + " x " + std::to_string(kDim) + place_of(folder);
    const double rate = fill_sidecar(store, records);
    if (records >= 10'000) {
      report_add("durable batch add", "nearlite", "10,000 vectors, store of " + shape, rate,
                 "vectors/s", "more");
    }
    store.save_index();
    store.search("added", 10);
    std::vector<double> adds;
    std::vector<double> processor;
    Record record;
    for (int i = 0; i < 400; ++i) {
      record.set("description", "added " + std::to_string(i));
      const double before = thread_ms();
      const Stopwatch adding;
      store.add_embedding(records + 1 + i, record, "package");
      adds.push_back(adding.elapsed_ms());
      processor.push_back(thread_ms() - before);
    }
    const std::string to = "to a store of " + shape;
    report_add("durable single add", "nearlite", to, median(adds), "ms", "less");
    report_add("durable single add, processor time", "nearlite", to, median(processor), "ms",
               "less");
    report_add("durable single add", "one 16 KiB write and fdatasync", to, median_sync_ms(folder),
               "ms", "less");
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace nearlite

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "adds") == 0) {
    if (argc == 2) {
      for (const std::int64_t records : {1'000, 100'000, 1'000'000}) nearlite::bench_adds(records);
    }
    for (int i = 2; i < argc; ++i) nearlite::bench_adds(std::atoll(argv[i]));
    return 0;
  }
  const std::int64_t large = argc > 1 ? std::atoll(argv[1]) : 50'000;
  nearlite::bench_backfill(1'000, "backfill, store alone");
  nearlite::bench_backfill(large, "backfill, store alone");
  return 0;
}
