// nearlite_index_bench: what searching and building costs, and what recall it buys. Peers on the
// same vectors: tools/bench_index_peers.py with the folder that --export filled.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "nearlite/base/clock.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/index/annoy_index.h"
#include "nearlite/index/backend_file.h"
#include "nearlite/index/delta.h"
#include "nearlite/index/flat_index.h"
#include "nearlite/index/graph_index.h"
#include "nearlite/index/id_set.h"
#include "nearlite/index/segment.h"
#include "nearlite/index/snapshot.h"
#include "planner.h"
#include "test_vectors.h"
#include "thread_clock.h"

namespace nearlite {
namespace {

constexpr std::size_t kK = 10;

struct Settings {
  std::vector<std::size_t> sizes{10'000, 100'000};
  std::size_t dim = 384;
  std::size_t num_queries = 200;
  std::filesystem::path vectors;  // raw float32 to use instead of made ones
  std::filesystem::path export_to;
  std::string only;  // one backend
};

/// Vectors as sentence encoders make them: topics within themes, few large and many small ones
/// (Zipf), variance that falls with the dimension, a mean that all share, and 2 % exact and 5 %
/// near copies. Length 1.
std::vector<float> make_vectors(std::size_t count, std::size_t dim, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> uniform(0, 1);
  std::vector<float> spectrum(dim);
  float total = 0;
  for (std::size_t j = 0; j < dim; ++j)
    total += spectrum[j] = 1.0F / std::sqrt(static_cast<float>(j + 1));
  for (float& value : spectrum) value = std::sqrt(value / total);
  const std::size_t num_themes = 64;
  const std::size_t num_topics = 2048;
  const auto noise = [&](std::vector<float>& to, std::size_t rows, float scale) {
    to.resize(rows * dim);
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = scale * spectrum[i % dim] * normal(random);
  };
  std::vector<float> mean;
  std::vector<float> themes;
  std::vector<float> topics;
  noise(mean, 1, 0.5F);
  noise(themes, num_themes, 0.6F);
  noise(topics, num_topics, 0.6F);
  std::vector<float> values(count * dim);
  for (std::size_t i = 0; i < count; ++i) {
    float* row = values.data() + i * dim;
    const float kind = uniform(random);
    if (i > 100 && kind < 0.07F) {
      std::copy_n(values.data() + (random() % i) * dim, dim, row);
      if (kind < 0.02F) continue;  // an exact copy
      for (std::size_t j = 0; j < dim; ++j) row[j] += 0.1F * spectrum[j] * normal(random);
    } else {
      const auto topic =
          static_cast<std::size_t>(std::pow(static_cast<float>(num_topics), uniform(random))) - 1;
      for (std::size_t j = 0; j < dim; ++j) {
        row[j] = mean[j] + themes[topic % num_themes * dim + j] + topics[topic * dim + j] +
                 0.55F * spectrum[j] * normal(random);
      }
    }
    const float norm = vector_norm({row, dim});
    for (std::size_t j = 0; j < dim; ++j) row[j] /= norm;
  }
  return values;
}

struct Data {
  test::Rows rows;
  test::Rows queries;
  std::vector<SearchResult> truth;
};

/// Queries are rows that are not in the index.
Data make_data(const Settings& settings, std::size_t count) {
  const std::size_t dim = settings.dim;
  std::vector<float> values;
  if (settings.vectors.empty()) {
    values = make_vectors(count + settings.num_queries, dim, 20261120);
  } else {
    const MappedFile file(settings.vectors);
    const std::size_t available = file.bytes().size() / (dim * sizeof(float));
    if (available < count + settings.num_queries) {
      throw InvalidArgument(settings.vectors.string() + " holds " + std::to_string(available) +
                            " vectors, " + std::to_string(count + settings.num_queries) +
                            " are wanted");
    }
    values.resize((count + settings.num_queries) * dim);
    std::memcpy(values.data(), file.bytes().data(), values.size() * sizeof(float));
  }
  Data data;
  const auto border = values.begin() + static_cast<std::ptrdiff_t>(count * dim);
  data.queries = test::rows_of(dim, {border, values.end()});
  values.resize(count * dim);
  data.rows = test::rows_of(dim, std::move(values));
  return data;
}

double recall_of(const SearchResult& found, const SearchResult& truth) {
  std::size_t hits = 0;
  for (const Neighbor& neighbor : found.neighbors) {
    hits += neighbor.similarity >= truth.neighbors.back().similarity - 1e-6F ? 1 : 0;
  }
  return static_cast<double>(std::min(hits, truth.neighbors.size())) /
         static_cast<double>(truth.neighbors.size());
}

/// Returns the median in milliseconds, and prints one line: median and 99th percentile by the wall
/// clock and mean processor time of the fastest of three passes, recall, bytes.
double report(const Data& data, const std::string& name, double bytes_per_vector,
              const std::function<SearchResult(std::span<const float>)>& search) {
  std::vector<double> best;
  double best_cpu_ms = 0;
  double recall = 0;
  double scored = 0;
  for (int pass = 0; pass < 3; ++pass) {
    std::vector<double> times;
    recall = scored = 0;
    double cpu_us = 0;
    for (std::size_t i = 0; i < data.queries.size(); ++i) {
      const ThreadStopwatch cpu;
      const Stopwatch watch;
      const SearchResult found = search(data.queries.row(i));
      times.push_back(watch.elapsed_ms());
      cpu_us += cpu.elapsed_us();
      recall += recall_of(found, data.truth[i]);
      scored += static_cast<double>(found.num_scored);
    }
    std::sort(times.begin(), times.end());
    const double cpu_ms = cpu_us / 1000.0 / static_cast<double>(data.queries.size());
    best_cpu_ms = best.empty() ? cpu_ms : std::min(best_cpu_ms, cpu_ms);
    if (best.empty() || times[times.size() / 2] < best[best.size() / 2]) best = times;
  }
  const auto count = static_cast<double>(best.size());
  std::printf("%-44s %7zu x %-4zu %9.4f %9.4f %9.4f %9.4f %9.0f %9.0f\n", name.c_str(),
              data.rows.size(), data.rows.dim, best[best.size() / 2], best[best.size() * 99 / 100],
              best_cpu_ms, recall / count, bytes_per_vector, scored / count);
  std::fflush(stdout);
  return best[best.size() / 2];
}

double per_vector(const std::filesystem::path& file, const Data& data) {
  return static_cast<double>(std::filesystem::file_size(file)) /
         static_cast<double>(data.rows.size());
}

/// Bytes per nanosecond (GB/s) of nothing but reading `bytes` bytes in order, the fastest of five.
double read_bandwidth(std::uint64_t bytes) {
  const std::vector<std::uint64_t> words(bytes / 8, 1);
  double best_ms = 0;
  std::uint64_t sum = 0;
  for (int pass = 0; pass < 5; ++pass) {
    const Stopwatch watch;
    for (const std::uint64_t word : words) sum += word;
    const double ms = watch.elapsed_ms();
    best_ms = pass == 0 ? ms : std::min(best_ms, ms);
  }
  volatile std::uint64_t used = sum;
  static_cast<void>(used);
  return static_cast<double>(bytes) / best_ms / 1e6;
}

/// What a mapped file takes of the memory now, in MB.
double resident_mb(const std::string& file_name) {
  std::ifstream maps("/proc/self/smaps");
  bool is_it = false;
  double kb = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find('-') < 20 && line.find(' ') > line.find('-'))
      is_it = line.ends_with(file_name);
    else if (is_it && line.starts_with("Rss:"))
      kb += std::stod(line.substr(4));
  }
  return kb / 1000;
}

void bench_exact(Data& data, const test::TemporaryFolder& folder) {
  const FlatIndex flat(data.rows.view());
  for (std::size_t i = 0; i < data.queries.size(); ++i) {
    data.truth.push_back(flat.search(data.queries.row(i), {.k = kK, .recall = 1.0}));
  }
  const SearchParams params{.k = kK, .recall = 1.0};
  report(data, "exact, fp32 scan", static_cast<double>(data.rows.dim * 4),
         [&](std::span<const float> query) { return flat.search(query, params); });
  const Stopwatch writing;
  write_segment(folder / "bench.vecs", data.rows.view(), {.dim = data.rows.dim});
  const double write_ms = writing.elapsed_ms();
  const Stopwatch opening;
  const auto segment = Segment::open(folder / "bench.vecs");
  const double open_ms = opening.elapsed_ms();
  const Stopwatch first;
  segment->search(data.queries.row(0), params);
  const double first_ms = first.elapsed_ms();
  const double p50 =
      report(data, "exact, int8 codes with bounds + fp32", per_vector(folder / "bench.vecs", data),
             [&](std::span<const float> query) { return segment->search(query, params); });
  const double reading = read_bandwidth(segment->scan_bytes());
  const double scanning = static_cast<double>(segment->scan_bytes()) / p50 / 1e6;
  std::printf("%-44s %7zu x %-4zu %.1f of %.1f GB/s of plain reading: %.0f %%; resident %.0f MB\n",
              "  int8 codes: bandwidth", data.rows.size(), data.rows.dim, scanning, reading,
              100 * scanning / reading, resident_mb("bench.vecs"));
  std::size_t equal = 0;
  for (std::size_t i = 0; i < data.queries.size(); ++i) {
    equal +=
        segment->search(data.queries.row(i), params).neighbors == data.truth[i].neighbors ? 1 : 0;
  }
  std::printf("%-44s %7zu x %-4zu %zu of %zu queries\n",
              "  int8 codes: ids and scores as the fp32 scan", data.rows.size(), data.rows.dim,
              equal, data.queries.size());
  std::printf(
      "%-44s %7zu x %-4zu %9.0f vectors/s, open %.2f ms, first search (all blocks verified) %.2f "
      "ms\n",
      "  segment: durable write", data.rows.size(), data.rows.dim,
      static_cast<double>(data.rows.size()) / write_ms * 1000.0, open_ms, first_ms);
}

/// Many queries in one scan, and filters that few rows pass.
void bench_forms(const Data& data, const test::TemporaryFolder& folder) {
  const IndexSnapshot snapshot(data.rows.dim, {{Segment::open(folder / "bench.vecs")}});
  const SearchParams params{.k = kK, .recall = 1.0};
  const std::size_t count = std::min<std::size_t>(100, data.queries.size());
  const auto queries = std::span(data.queries.values).first(count * data.rows.dim);
  double best_us = 0;
  for (int pass = 0; pass < 4; ++pass) {
    const ThreadStopwatch watch;
    snapshot.search_batch(queries, params);
    const double us = watch.elapsed_us() / static_cast<double>(count);
    best_us = pass == 0 ? us : std::min(best_us, us);
  }
  std::printf("%-44s %7zu x %-4zu %9.4f ms of processor time per query\n",
              ("exact, " + std::to_string(count) + " queries together").c_str(), data.rows.size(),
              data.rows.dim, best_us / 1000.0);
  for (const std::size_t one_in : {1000, 100, 10, 2}) {
    std::vector<VectorId> passing;
    for (std::size_t i = 0; i < data.rows.size(); i += one_in) passing.push_back(data.rows.ids[i]);
    SearchParams filtered = params;
    filtered.among = std::make_shared<IdSet>(std::move(passing));
    double total_us = 0;
    for (int pass = 0; pass < 3; ++pass) {
      const ThreadStopwatch watch;
      for (std::size_t i = 0; i < count; ++i) snapshot.search(data.queries.row(i), filtered);
      const double us = watch.elapsed_us() / static_cast<double>(count);
      total_us = pass == 0 ? us : std::min(total_us, us);
    }
    std::printf("%-44s %7zu x %-4zu %9.4f ms of processor time per query\n",
                ("exact, filter passes 1 in " + std::to_string(one_in)).c_str(), data.rows.size(),
                data.rows.dim, total_us / 1000.0);
  }
}

void bench_backend(const Data& data, const test::TemporaryFolder& folder, Backend backend) {
  const std::string name(backend_name(backend));
  const auto file = folder / ("bench." + name);
  const Stopwatch building;
  const BackendFile built = build_backend_file(backend, data.rows.view(), file);
  const double build_ms = building.elapsed_ms();
  const Stopwatch opening;
  const auto index =
      open_backend_file(backend, file, data.rows.dim, data.rows.ids, built.calibration_json);
  const double open_ms = opening.elapsed_ms();
  for (const double recall :
       backend == Backend::kFaiss ? std::vector{0.99} : std::vector{0.9, 0.95, 0.99}) {
    const SearchParams params{.k = kK, .recall = recall, .index_only = true};
    char line[64];
    std::snprintf(line, sizeof line, "%s, asked recall %.2f", name.c_str(), recall);
    report(data, line, per_vector(file, data),
           [&](std::span<const float> query) { return index->search(query, params); });
  }
  std::printf(
      "%-44s %7zu x %-4zu %9.2f s build with calibration and digest, open with all checks %.1f "
      "ms\n",
      ("  " + name + ": file").c_str(), data.rows.size(), data.rows.dim, build_ms / 1000.0,
      open_ms);
  if (const auto* graph = dynamic_cast<const GraphIndex*>(index.get())) {
    for (const std::size_t effort : {32, 64, 96, 128, 192, 256}) {
      report(data, "graph, effort " + std::to_string(effort), per_vector(file, data),
             [&](std::span<const float> query) {
               return graph->search_with_effort(query, {.k = kK}, effort);
             });
    }
  }
  if (const auto* annoy = dynamic_cast<const AnnoyIndex*>(index.get())) {
    for (const std::size_t search_k : {std::size_t{100}, std::size_t{10'000}}) {
      report(data, "annoy, search_k " + std::to_string(search_k), per_vector(file, data),
             [&](std::span<const float> query) {
               return annoy->search_with_effort(query, {.k = kK}, search_k);
             });
    }
  }
}

void bench_delta(const Data& data) {
  const auto delta = std::make_shared<DeltaIndex>(data.rows.dim);
  const std::size_t count = std::min<std::size_t>(data.rows.size(), 10'000);
  std::vector<double> single;
  for (std::size_t i = 0; i < count; ++i) {
    const Stopwatch watch;
    delta->add(data.rows.ids[i], data.rows.row(i));
    single.push_back(watch.elapsed_ms() * 1000.0);
  }
  const double late = single[count - 1];
  std::sort(single.begin(), single.end());
  std::printf("%-44s %7zu x %-4zu %9.3f us p50, %.3f us p99, the last one %.3f us\n",
              "add one vector to the delta", count, data.rows.dim, single[count / 2],
              single[count * 99 / 100], late);
  const auto batch = std::make_shared<DeltaIndex>(data.rows.dim);
  const Stopwatch watch;
  for (std::size_t i = 0; i < count; ++i) batch->add(data.rows.ids[i], data.rows.row(i));
  std::printf("%-44s %7zu x %-4zu %9.0f vectors/s\n", "add a batch to the delta", count,
              data.rows.dim, static_cast<double>(count) / watch.elapsed_ms() * 1000.0);
}

void export_data(const Data& data, const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  const auto write = [&](const std::string& name, const std::vector<float>& values) {
    AtomicFile file(folder / name);
    file.write(std::as_bytes(std::span(values)));
    file.commit();
  };
  const std::string shape =
      std::to_string(data.rows.size()) + "x" + std::to_string(data.rows.dim) + ".f32";
  write("vectors-" + shape, data.rows.values);
  write("queries-" + shape, data.queries.values);
}

void run(const Settings& settings) {
  std::printf(
      "scan of codes from memory: %.1f GB/s; one thread; k = %zu; %zu queries that are not in the "
      "index\n",
      1048.576 / scan_us_per_mib(std::uint64_t{1} << 30), kK, settings.num_queries);
  std::printf("%-44s %14s %9s %9s %9s %9s %9s\n", "method", "rows x dim", "p50 ms", "p99 ms",
              "recall@10", "B/vector", "scored");
  for (const std::size_t size : settings.sizes) {
    const test::TemporaryFolder folder;
    Data data = make_data(settings, size);
    if (!settings.export_to.empty()) export_data(data, settings.export_to);
    bench_exact(data, folder);
    bench_forms(data, folder);
    if (!settings.only.empty()) {
      bench_backend(data, folder, backend_of(settings.only));
      continue;
    }
    bench_backend(data, folder, Backend::kAnnoy);
    bench_backend(data, folder, Backend::kGraph);
    try {
      bench_backend(data, folder, Backend::kFaiss);
    } catch (const NotFound& missing) {
      std::printf("faiss: %s\n", missing.what());
    }
    bench_delta(data);
  }
}

Settings parse(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (i + 1 == argc) throw InvalidArgument("option " + option + " needs a value");
    const std::string value = argv[++i];
    if (option == "--rows") {
      settings.sizes = {std::stoul(value)};
    } else if (option == "--dim") {
      settings.dim = std::stoul(value);
    } else if (option == "--queries") {
      settings.num_queries = std::stoul(value);
    } else if (option == "--vectors") {
      settings.vectors = value;
    } else if (option == "--backend") {
      settings.only = value;
    } else if (option == "--export") {
      settings.export_to = value;
    } else {
      throw InvalidArgument(
          "unknown option " + option,
          "--rows N --dim D --queries N --vectors FILE.f32 --export FOLDER --backend B");
    }
  }
  return settings;
}

}  // namespace
}  // namespace nearlite

int main(int argc, char** argv) {
  try {
    nearlite::run(nearlite::parse(argc, argv));
    return 0;
  } catch (const nearlite::Error& error) {
    std::cerr << error.what() << "\n" << error.hint() << "\n";
    return error.exit_code();
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
}
