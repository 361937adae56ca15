#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/base/files.h"
#include "nearlite/index/calibration.h"
#include "nearlite/index/faiss_index.h"
#include "nearlite/index/vector_index.h"

namespace nearlite {

struct BackendFileOptions {
  std::size_t num_trees = 10;               // annoy
  std::uint64_t seed = 1;                   // annoy
  std::size_t threads = 1;                  // for building
  std::filesystem::path faiss_plugin = {};  // empty: where load_faiss_plugin looks by itself
  std::size_t faiss_hnsw_from = FaissParams{}.hnsw_from;
  AskedQuestions asked = {};  // take part in the calibration of annoy, graph and HNSW
  // graph and flat: kept in the file, and compared when it is opened, unless empty or 0
  std::string model_identity = {};
  std::uint64_t generation = 0;
};

/// What to remember of a written file: its digest must be compared before it is opened again.
struct BackendFile {
  Backend backend = Backend::kFlat;
  std::uint64_t rows = 0;
  std::uint64_t file_bytes = 0;
  std::string sha256;            // of the whole file
  std::string calibration_json;  // annoy, HNSW of faiss; a graph keeps it in the file; else empty
};

/// Writes the backend's own file over all rows, slot i = row i, whole or not at all: annoy a file
/// of the Annoy library, faiss one of FAISS (flat, or HNSW from faiss_hnsw_from rows on), flat a
/// segment file, graph a graph file. kAuto is not a file format: InvalidArgument. Throws
/// InvalidArgument (check_rows), NotFound (no FAISS plugin), Unavailable.
BackendFile build_backend_file(Backend backend, const VectorRows& rows,
                               const std::filesystem::path& file,
                               const BackendFileOptions& options = {});

/// Opens such a file. ids: of the slots, in order (flat files carry theirs; they are compared). The
/// caller has compared the file's digest. Throws NotFound, Unavailable, InvalidArgument (kAuto), or
/// CorruptData; a file of another format is named in the message.
std::shared_ptr<const VectorIndex> open_backend_file(Backend backend,
                                                     const std::filesystem::path& file,
                                                     std::size_t dim, std::vector<VectorId> ids,
                                                     std::string_view calibration_json = {},
                                                     const BackendFileOptions& options = {});

/// What a file is by its first bytes: "a FAISS index", "a nearlite segment", "an SQLite database",
/// "JSON text", "empty", ... or "of unknown format" (Annoy files have no mark). Throws NotFound,
/// Unavailable.
std::string describe_file(const std::filesystem::path& file);

}  // namespace nearlite
