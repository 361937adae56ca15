// Measures the whole from text to answer, and prints one JSON object per figure for tools/bench:
//   {"task", "who", "shape", "value", "unit", "better": "more"|"less"}
// usage: nearlite_chain_bench encoder|index|store MODEL TEXTS VECTORS WORK-FOLDER
// TEXTS: one text per line; VECTORS: their vectors, [lines, dim] little-endian float32; the work
// folder is emptied.
#include <sqlite3.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <functional>
#include <numeric>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "nearlite/base/clock.h"
#include "nearlite/base/cpu.h"
#include "nearlite/base/files.h"
#include "nearlite/core.h"
#include "nearlite/index/backend_file.h"
#include "nearlite/index/flat_index.h"
#include "nearlite/index/segment.h"

namespace {

using namespace nearlite;  // NOLINT(google-build-using-namespace): a program of one file

struct Inputs {
  std::filesystem::path model;
  std::vector<std::string> texts;
  std::vector<float> vectors;
  std::size_t dim = 0;
  std::filesystem::path work;
};

void report(const std::string& task, const std::string& who, const std::string& shape, double value,
            const char* unit, const char* better) {
  std::printf(
      R"({"task": "%s", "who": "%s", "shape": "%s", "value": %.6g, "unit": "%s", "better": "%s"})"
      "\n",
      task.c_str(), who.c_str(), shape.c_str(), value, unit, better);
  std::fflush(stdout);
}

double median_us(std::size_t times, const std::function<void(std::size_t)>& call) {
  std::vector<double> took(times);
  for (std::size_t i = 0; i < times; ++i) {
    const Stopwatch watch;
    call(i);
    took[i] = watch.elapsed_ms() * 1000;
  }
  std::nth_element(took.begin(), took.begin() + static_cast<std::ptrdiff_t>(times / 2), took.end());
  return took[times / 2];
}

std::vector<std::string_view> views(const std::vector<std::string>& texts, std::size_t count) {
  return {texts.begin(),
          texts.begin() + static_cast<std::ptrdiff_t>(std::min(count, texts.size()))};
}

// ------------------------------------------------------------------------------------------------

/// The default first: peers are compared with it.
std::vector<std::pair<std::size_t, Precision>> encoder_variants() {
  std::vector<std::pair<std::size_t, Precision>> variants;
  for (const std::size_t threads : std::set<std::size_t>{1, available_cpus()}) {
    const Precision best = chosen_precision(Precision::kAuto);
    variants.emplace_back(threads, best);
    for (const Precision other :
         {Precision::kFp32, Precision::kBf16, Precision::kInt16, Precision::kInt8}) {
      if (other != best) variants.emplace_back(threads, other);
    }
  }
  return variants;
}

void bench_encoder(const Inputs& in) {
  const auto texts = views(in.texts, 1000);
  for (const auto& [threads, precision] : encoder_variants()) {
    const auto encoder = open_encoder(in.model, {.threads = threads, .precision = precision});
    const std::string who = "nearlite " + std::string(precision_name(precision));
    encoder->encode(views(in.texts, 8), TextRole::kPlain);  // loads the weights
    const Stopwatch watch;
    const EncodedBatch batch = encoder->encode(texts, TextRole::kPlain);
    const double seconds = watch.elapsed_ms() / 1000;
    const std::string shape = std::to_string(texts.size()) + " descriptions, " +
                              std::to_string(batch.num_tokens / texts.size()) + " tokens each, " +
                              std::to_string(threads) + " threads";
    report("encode", who, shape, static_cast<double>(batch.num_tokens) / seconds, "tokens/s",
           "more");
    if (threads == 1) {
      const std::string_view question = "how do I reset a forgotten password?";
      const double us = median_us(
          200, [&](std::size_t) { encoder->encode(std::span(&question, 1), TextRole::kQuery); });
      report("encode one question", who, "10 tokens, 1 thread", us / 1000, "ms", "less");
    }
  }
}

// ------------------------------------------------------------------------------------------------

double recall_at_10(const VectorIndex& index, const VectorRows& rows, std::size_t queries) {
  std::size_t found = 0;
  for (std::size_t q = 0; q < queries; ++q) {
    const auto wanted = exact_search(rows, rows.row(q), {.k = 10}).neighbors;
    const auto got = index.search(rows.row(q), {.k = 10, .index_only = true}).neighbors;
    for (const Neighbor& neighbor : got) {
      found += std::any_of(wanted.begin(), wanted.end(),
                           [&](const Neighbor& other) { return other.id == neighbor.id; })
                   ? 1
                   : 0;
    }
  }
  return static_cast<double>(found) / static_cast<double>(10 * queries);
}

void bench_index(const Inputs& in) {
  const std::size_t count = in.vectors.size() / in.dim;
  std::vector<VectorId> ids(count);
  for (std::size_t i = 0; i < count; ++i) ids[i] = VectorId{static_cast<std::int64_t>(i + 1)};
  const VectorRows rows{ids, in.vectors, in.dim};
  const std::string shape =
      std::to_string(count) + " x " + std::to_string(in.dim) + ", k 10, 1 thread";
  const std::size_t queries = std::min<std::size_t>(200, count);
  const auto measure = [&](const VectorIndex& index, const std::string& task,
                           const std::string& who) {
    const double us = median_us(
        queries, [&](std::size_t q) { index.search(rows.row(q), {.k = 10, .index_only = true}); });
    report(task, who, shape, us, "us/query", "less");
    report(task + ", recall@10", who, shape, recall_at_10(index, rows, queries), "", "more");
  };

  const auto segment_file = in.work / "vectors.seg";
  write_segment(segment_file, rows, {.store = "bench", .dim = in.dim});
  measure(*Segment::open(segment_file), "exact search", "nearlite segment");
  const double scan =
      median_us(queries, [&](std::size_t q) { exact_search(rows, rows.row(q), {.k = 10}); });
  report("exact search", "nearlite fp32 scan", shape, scan, "us/query", "less");

  for (const Backend backend : {Backend::kAnnoy, Backend::kFaiss, Backend::kGraph}) {
    const std::string name{backend_name(backend)};
    const auto file = in.work / ("vectors." + name);
    const Stopwatch watch;
    const BackendFile made = build_backend_file(backend, rows, file);
    report("build and write " + name, "nearlite", shape, watch.elapsed_ms(), "ms", "less");
    measure(*open_backend_file(backend, file, in.dim, ids, made.calibration_json), name + " search",
            "nearlite " + name);
  }
}

// ------------------------------------------------------------------------------------------------

class BenchDB : public EmbeddableDBMixin {
 public:
  using EmbeddableDBMixin::EmbeddableDBMixin;
  std::string text(const Record& record) const override { return record.get("body"); }
  RecordCursor iter_records() const override {
    return query("SELECT id, body FROM note", {.kind = "note"});
  }
};

void run_sql(sqlite3* db, const std::string& sql) {
  if (sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    throw std::runtime_error(sqlite3_errmsg(db));
  }
}

void insert_texts(sqlite3* db, const std::vector<std::string>& texts, std::size_t first,
                  std::size_t count) {
  sqlite3_stmt* insert = nullptr;
  sqlite3_prepare_v2(db, "INSERT INTO note(id, body) VALUES(?1, ?2)", -1, &insert, nullptr);
  run_sql(db, "BEGIN");
  for (std::size_t i = first; i < first + count; ++i) {
    // Each text its own: one that is stored already would not be encoded again.
    const std::string text = std::to_string(i) + ": " + texts[i % texts.size()];
    sqlite3_bind_int64(insert, 1, static_cast<sqlite3_int64>(i + 1));
    sqlite3_bind_text(insert, 2, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
    sqlite3_step(insert);
    sqlite3_reset(insert);
  }
  run_sql(db, "COMMIT");
  sqlite3_finalize(insert);
}

double backfill_ms(BenchDB& store) {
  const Stopwatch watch;
  store.backfill_embeddings();
  return watch.elapsed_ms();
}

void bench_store(const Inputs& in) {
  const std::shared_ptr<const TextEncoder> encoder = open_encoder(in.model);
  encoder->encode(views(in.texts, 1), TextRole::kPlain);
  sqlite3* db = nullptr;
  if (sqlite3_open((in.work / "notes.db").c_str(), &db) != SQLITE_OK)
    throw std::runtime_error("open");
  run_sql(db, "CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT)");
  {
    BenchDB store(db, {.index_path = in.work / "notes.index", .encoder = encoder});
    const std::size_t rows = 1500;
    insert_texts(db, in.texts, 0, rows);
    const std::string threads = ", " + std::to_string(available_cpus()) + " threads";
    const double whole = backfill_ms(store);
    report("whole backfill", "nearlite", std::to_string(rows) + " descriptions" + threads,
           static_cast<double>(rows) / whole * 1000, "records/s", "more");

    run_sql(db,
            "UPDATE note SET body = body || ' changed' WHERE id <= 10; DELETE FROM note WHERE id > "
            "2990");
    report("backfill after 10 edits, 10 deletions", "nearlite",
           std::to_string(rows) + " descriptions" + threads, backfill_ms(store), "ms", "less");

    // Single records, the vector of each encoded: the cost must not grow with the store.
    for (const std::size_t held : {rows, 2 * rows}) {
      if (held > rows) {
        insert_texts(db, in.texts, rows, rows);
        const double batch = backfill_ms(store);
        report("batch add", "nearlite",
               std::to_string(rows) + " to a store of " + std::to_string(rows) + threads,
               static_cast<double>(rows) / batch * 1000, "records/s", "more");
      }
      const double us = median_us(50, [&](std::size_t i) {
        Record record({{"body", std::string("short note number ") + std::to_string(held + i)}});
        store.add_embedding(RecordKey(static_cast<std::int64_t>(100000 + held + i)), record,
                            "note");
      });
      report("single add", "nearlite", "to a store of " + std::to_string(held), us / 1000, "ms",
             "less");
    }
  }
  sqlite3_close(db);
}

// ------------------------------------------------------------------------------------------------

Inputs read_inputs(char** argv) {
  Inputs in;
  in.model = argv[2];
  in.work = argv[5];
  std::istringstream lines(read_file(argv[3], std::uint64_t{1} << 32));
  for (std::string line; std::getline(lines, line);) in.texts.push_back(line);
  const std::string bytes = read_file(argv[4], std::uint64_t{1} << 32);
  in.vectors.resize(bytes.size() / sizeof(float));
  std::memcpy(in.vectors.data(), bytes.data(), in.vectors.size() * sizeof(float));
  if (in.texts.empty() || in.vectors.size() % in.texts.size() != 0) {
    throw InvalidArgument("texts and vectors do not fit each other");
  }
  in.dim = in.vectors.size() / in.texts.size();
  std::filesystem::remove_all(in.work);
  std::filesystem::create_directories(in.work);
  return in;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(
        stderr,
        "usage: nearlite_chain_bench encoder|index|store MODEL TEXTS VECTORS WORK-FOLDER\n");
    return 2;
  }
  try {
    const Inputs in = read_inputs(argv);
    const std::string part = argv[1];
    if (part == "encoder") bench_encoder(in);
    if (part == "index") bench_index(in);
    if (part == "store") bench_store(in);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "nearlite_chain_bench: %s\n", error.what());
    return 1;
  }
}
