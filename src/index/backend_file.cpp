#include "nearlite/index/backend_file.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite/index/annoy_index.h"
#include "nearlite/index/faiss_index.h"
#include "nearlite/index/flat_index.h"
#include "nearlite/index/graph_index.h"
#include "nearlite/index/segment.h"

namespace nearlite {
namespace {

struct Mark {
  std::string_view start;
  std::string_view name;
  Backend backend;  // kAuto: of none
};

constexpr std::array kMarks{
    Mark{"NLVECS\r\n", "a nearlite segment", Backend::kFlat},
    Mark{"NLGRPH\r\n", "a nearlite graph", Backend::kGraph},
    Mark{"SQLite format 3", "an SQLite database", Backend::kAuto},
    Mark{"IxFI", "a FAISS flat inner-product index", Backend::kFaiss},
    Mark{"IxF2", "a FAISS flat L2 index", Backend::kAuto},
    Mark{"IxM", "a FAISS index with an id map", Backend::kFaiss},
    Mark{"IHNf", "a FAISS HNSW index", Backend::kFaiss},
    Mark{"IHN", "a FAISS HNSW index over codes", Backend::kAuto},
    Mark{"Iw", "a FAISS IVF index", Backend::kAuto},
    Mark{"Ix", "a FAISS index", Backend::kAuto},
    Mark{"usearch", "a USearch index", Backend::kAuto},
    Mark{"\x93NUMPY", "a NumPy array", Backend::kAuto},
    Mark{"{", "JSON text", Backend::kAuto},
    Mark{"PK\x03\x04", "a ZIP archive", Backend::kAuto},
    Mark{"\x7f"
         "ELF",
         "a program", Backend::kAuto},
};

const Mark* mark_of(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto* found = std::find_if(kMarks.begin(), kMarks.end(),
                                   [&](const Mark& mark) { return text.starts_with(mark.start); });
  return found == kMarks.end() ? nullptr : found;
}

/// Says what a file is instead of "damaged" when it is something else. Annoy files have no mark, so
/// their first bytes (an int32 1, or 0 items) are only known not to be one of the others.
void refuse_foreign(Backend backend, const std::filesystem::path& file) {
  const MappedFile mapped(file);
  const Mark* mark = mark_of(mapped.bytes());
  if (mark == nullptr || mark->backend == backend) return;
  throw CorruptData(file.string() + " is " + std::string(mark->name) +
                        ", expected an index of the backend " + std::string(backend_name(backend)),
                    "the file is derived: move it away and it is rebuilt from the sidecar");
}

[[noreturn]] void refuse_auto() {
  throw InvalidArgument("backend 'auto' has no file of its own", "use annoy, faiss, flat or graph");
}

std::string write_annoy(AtomicFile& writing, const VectorRows& rows,
                        const BackendFileOptions& options) {
  build_annoy(writing, rows,
              {.num_trees = options.num_trees, .seed = options.seed, .threads = options.threads});
  const auto index =
      AnnoyIndex::open(writing.temporary_path(), rows.dim, {rows.ids.begin(), rows.ids.end()});
  return index->calibration(options.asked).to_json();
}

std::string write_faiss(AtomicFile& writing, const VectorRows& rows,
                        const BackendFileOptions& options) {
  const auto plugin = load_faiss_plugin(options.faiss_plugin);
  const FaissParams params{.hnsw_from = options.faiss_hnsw_from};
  build_faiss(*plugin, writing, rows, params);
  if (rows.ids.size() < params.hnsw_from) return {};
  const auto index = FaissIndex::open(plugin, writing.temporary_path(), rows.dim,
                                      {rows.ids.begin(), rows.ids.end()});
  return index->calibration(options.asked).to_json();
}

SegmentInfo info_of(const VectorRows& rows, const BackendFileOptions& options) {
  return {.store = {},
          .generation = options.generation,
          .model_identity = options.model_identity,
          .dim = rows.dim};
}

SegmentExpectation expectation_of(std::size_t dim, const BackendFileOptions& options) {
  SegmentExpectation expected{.dim = dim};
  if (!options.model_identity.empty()) expected.model_identity = options.model_identity;
  if (options.generation != 0) expected.generation = options.generation;
  return expected;
}

std::shared_ptr<const VectorIndex> open_flat(const std::filesystem::path& file,
                                             const std::vector<VectorId>& ids,
                                             const SegmentExpectation& expected) {
  auto segment = Segment::open(file, expected);
  const VectorRows rows = segment->rows();
  if (!std::equal(rows.ids.begin(), rows.ids.end(), ids.begin(), ids.end())) {
    throw CorruptData(file.string() + ": segment holds other ids than were recorded",
                      "delete it and it is rebuilt from the sidecar");
  }
  return segment;
}

}  // namespace

BackendFile build_backend_file(Backend backend, const VectorRows& rows,
                               const std::filesystem::path& file,
                               const BackendFileOptions& options) {
  BackendFile built{.backend = backend,
                    .rows = rows.ids.size(),
                    .file_bytes = 0,
                    .sha256 = {},
                    .calibration_json = {}};
  AtomicFile writing(file);
  switch (backend) {
    case Backend::kAnnoy:
      built.calibration_json = write_annoy(writing, rows, options);
      break;
    case Backend::kFaiss:
      built.calibration_json = write_faiss(writing, rows, options);
      break;
    case Backend::kFlat:
      write_segment(writing, rows, info_of(rows, options));
      break;
    case Backend::kGraph:
      build_graph_file(writing, rows, info_of(rows, options),
                       {.seed = options.seed, .threads = options.threads, .asked = options.asked});
      break;
    case Backend::kAuto:
      refuse_auto();
  }
  built.file_bytes = writing.size_bytes();
  built.sha256 = sha256_of_file(writing.temporary_path());
  writing.commit();
  return built;
}

std::shared_ptr<const VectorIndex> open_backend_file(Backend backend,
                                                     const std::filesystem::path& file,
                                                     std::size_t dim, std::vector<VectorId> ids,
                                                     std::string_view calibration_json,
                                                     const BackendFileOptions& options) {
  if (backend == Backend::kAuto) refuse_auto();
  refuse_foreign(backend, file);
  Calibration calibration;
  if (!calibration_json.empty()) calibration = Calibration::from_json(calibration_json);
  switch (backend) {
    case Backend::kAnnoy:
      return AnnoyIndex::open(file, dim, std::move(ids), std::move(calibration));
    case Backend::kFaiss:
      return FaissIndex::open(load_faiss_plugin(options.faiss_plugin), file, dim, std::move(ids),
                              std::move(calibration));
    case Backend::kGraph:
      return GraphIndex::open(file, ids, expectation_of(dim, options));
    default:
      return open_flat(file, ids, expectation_of(dim, options));
  }
}

std::string describe_file(const std::filesystem::path& file) {
  const MappedFile mapped(file);
  if (mapped.bytes().empty()) return "empty";
  const Mark* mark = mark_of(mapped.bytes());
  return mark != nullptr ? std::string(mark->name) : "of unknown format";
}

}  // namespace nearlite
