#include "index_targets.h"

#include <cmath>
#include <cstdlib>
#include <memory>
#include <vector>

#include "nearlite/base/checksum.h"
#include "nearlite/index/annoy_index.h"
#include "nearlite/index/faiss_index.h"
#include "nearlite/index/graph_index.h"
#include "nearlite/index/segment.h"
#include "nearlite/store/sidecar.h"
#include "original_json.h"
#include "right_checksums.h"
#include "sidecar_state.h"
#include "targets.h"

namespace nearlite::fuzz {
namespace {

std::vector<float> query_of(std::size_t dim) {
  std::vector<float> query(dim);
  for (std::size_t i = 0; i < dim; ++i) query[i] = static_cast<float>(i % 7) - 2.5F;
  return query;
}

std::vector<VectorId> first_ids(std::size_t count) {
  std::vector<VectorId> ids(count);
  for (std::size_t i = 0; i < count; ++i) ids[i] = VectorId{static_cast<std::int64_t>(i + 1)};
  return ids;
}

void check(const SearchResult& result, const SearchParams& params) {
  require(result.neighbors.size() <= params.k);
  for (std::size_t i = 0; i < result.neighbors.size(); ++i) {
    require(std::isfinite(result.neighbors[i].similarity));
    require(i == 0 || result.neighbors[i - 1].similarity >= result.neighbors[i].similarity);
  }
}

void search(const VectorIndex& index) {
  const std::vector<float> query = query_of(index.dim());
  for (const bool index_only : {false, true}) {
    const SearchParams params{.k = 5, .recall = 0.9, .index_only = index_only};
    check(index.search(query, params), params);
  }
  const SearchParams odd{.k = 3, .recall = 1.0, .filter = [](VectorId id) {
                           return static_cast<std::int64_t>(id) % 2 == 1;
                         }};
  check(index.search(query, odd), odd);
}

void as_segment(const std::filesystem::path& file) {
  try {
    const auto segment = Segment::open(file);
    search(*segment);
    segment->verify();
    const VectorRows rows = segment->rows();
    for (std::size_t i = 0; i < rows.ids.size(); ++i) {
      const auto position = segment->position_of(rows.ids[i]);
      require(!position || *position < segment->size());
    }
  } catch (const Error&) {  // refused
  }
}

/// Tried with as many ids as the header says there are rows, if that can be.
void as_graph(const std::filesystem::path& file, std::string_view bytes) {
  BlockFileHeader header;
  if (bytes.size() < sizeof header) return;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.rows > 100'000) return;
  try {
    const auto graph = GraphIndex::open(file, first_ids(static_cast<std::size_t>(header.rows)));
    search(*graph);
    graph->search_with_effort(query_of(graph->dim()), {.k = 4}, 16);
    graph->verify();
  } catch (const Error&) {  // refused
  }
}

}  // namespace

void block_file(std::string_view bytes) {
  const std::string right = test::with_right_checksums(std::string(bytes));
  for (const std::string_view each : {bytes, std::string_view(right)}) {
    const auto file = file_of("block_file", each);
    as_segment(file);
    as_graph(file, each);
  }
}

void annoy_file(std::string_view bytes) {
  if (bytes.size() < 2) return;
  const std::size_t dim = static_cast<unsigned char>(bytes[0]) % 32 + 1;
  const std::size_t count = static_cast<unsigned char>(bytes[1]);
  try {
    const auto index = AnnoyIndex::open(file_of("annoy", bytes.substr(2)), dim, first_ids(count));
    search(*index);
    const SearchParams params{.k = 4};
    check(index->search_with_effort(query_of(dim), params, 50), params);
  } catch (const Error&) {  // refused
  }
}

void faiss_file(std::string_view bytes) {
  static const std::shared_ptr<const FaissPlugin> plugin = [] {
    const char* named = std::getenv("NEARLITE_FUZZ_FAISS_PLUGIN");
    try {
      return load_faiss_plugin(named == nullptr ? "" : named);
    } catch (const Error&) {
      return std::shared_ptr<const FaissPlugin>();
    }
  }();
  if (!plugin || bytes.size() < 2) return;
  const std::size_t dim = static_cast<unsigned char>(bytes[0]) % 32 + 1;
  const std::size_t count = static_cast<unsigned char>(bytes[1]);
  try {
    search(*FaissIndex::open(plugin, file_of("faiss", bytes.substr(2)), dim, first_ids(count)));
  } catch (const Error&) {  // refused
  }
}

void original_json(std::string_view bytes) {
  try {
    const OriginalFile file = read_original(file_of("original.json", bytes));
    for (const auto& [id, entry] : file.entries) {
      for (const float value : entry.vector) require(std::isfinite(value));
      require(entry.slot.value_or(0) >= 0);
    }
  } catch (const Error&) {  // refused
  }
}

void vector_blob(std::string_view bytes) {
  static const TemporaryFolder folder(FolderPlace::kMemory);
  static Sidecar sidecar(folder / "a.sqlite", {.create = true});
  static const SourceKey key{"notes", "", "1"};
  static const std::int64_t made = [] {
    const std::vector<float> vector = query_of(8);
    Transaction transaction = sidecar.begin();
    RecordWrite record;
    record.key = key;
    record.model = sidecar.put_model("notes", {0, "m", "m-1", vector.size(), "", 1});
    record.passages.push_back({0, 0, 1, vector, {}});
    const auto slots = sidecar.put_record(record);
    transaction.commit();
    return slots.front();
  }();
  if (bytes.empty()) return;
  const auto blob = std::as_bytes(std::span(bytes.substr(1)));
  const bool fits = (bytes[0] & 1) != 0;
  const std::uint64_t checksum = vector_checksum(key, 0, "m-1", blob) + (fits ? 0 : 1);
  sidecar.connection().execute("BEGIN");
  sidecar.connection()
      .prepare("UPDATE vector SET vector = ?1, checksum = ?2 WHERE slot = ?3")
      .run(blob, static_cast<std::int64_t>(checksum), made);
  std::size_t seen = 0;
  sidecar.scan_vectors("notes", "m-1", 0, made, [&](const VectorRow& row) {
    ++seen;
    require(row.intact == (fits && blob.size() == 8 * sizeof(float)));
    require(!row.intact || row.values.size() == 8);
  });
  require(seen == 1);
  try {
    const auto vector = sidecar.vector_of(key);
    require(fits && vector && vector->size() == blob.size() / sizeof(float));
  } catch (const CorruptData&) {
  }
  sidecar.connection().execute("ROLLBACK");
}

}  // namespace nearlite::fuzz
