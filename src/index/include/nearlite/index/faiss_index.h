#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "nearlite/base/files.h"
#include "nearlite/base/once.h"
#include "nearlite/index/calibration.h"
#include "nearlite/index/vector_index.h"

namespace nearlite {

class Collector;
class FaissPlugin;
struct FaissLayout;

/// FAISS stands in a library of its own (libnearlite_faiss.so), so that neither it nor OpenMP nor
/// BLAS is in the process unless it is asked for. Looked for in this order: `explicit_path` if not
/// empty, beside the executable, in ../lib/nearlite and ../lib relative to it, beside the shared
/// object this code is in. Throws NotFound that says where it looked and what to install, or
/// CorruptData if it is of another version. Loaded once; thread-safe.
std::shared_ptr<const FaissPlugin> load_faiss_plugin(
    const std::filesystem::path& explicit_path = {});

struct FaissParams {
  /// From so many vectors on an IndexHNSWFlat is written, below an IndexFlatIP: a scan of less
  /// takes no longer than opening a graph, which costs minutes to build.
  std::size_t hnsw_from = 100'000;
  int links = 32;             // "M"; the lowest level has twice as many
  int ef_construction = 100;  // candidates looked at for the links of a row
};

/// Writes a FAISS file over the vectors scaled to length 1 (inner product is the cosine) that
/// faiss.read_index loads; the caller commits it. One thread: the same file for the same rows.
/// Throws InvalidArgument (check_rows), Unavailable.
void build_faiss(const FaissPlugin& plugin, AtomicFile& file, const VectorRows& rows,
                 const FaissParams& params = {});

/// A FAISS file searched by FAISS, one thread per search: IndexFlatIP exactly, IndexHNSWFlat with
/// the effort calibrated for the recall asked. Order and ties follow the rules of exact_search, but
/// scores come from the vectors of the file and may differ from it in the last bits. Thread-safe.
class FaissIndex : public CostedIndex {
 public:
  /// ids: of the vectors in slot order. The whole file is proven safe before FAISS sees a byte
  /// (faiss_format.h), whatever it contains. Whether vectors inside were changed cannot be told
  /// without a digest: compare the manifest's first. Throws NotFound, Unavailable, CorruptData.
  static std::shared_ptr<const FaissIndex> open(std::shared_ptr<const FaissPlugin> plugin,
                                                const std::filesystem::path& file, std::size_t dim,
                                                std::vector<VectorId> ids,
                                                Calibration calibration = {});
  /// A file of another program: dimension and ids are its own, of IndexIDMap or 0, 1, ...
  static std::shared_ptr<const FaissIndex> open(std::shared_ptr<const FaissPlugin> plugin,
                                                const std::filesystem::path& file);
  ~FaissIndex() override;

  SearchResult search(std::span<const float> query, const SearchParams& params) const override;
  /// Writes the index, without a map of ids.
  void save(const std::filesystem::path& file) const override;
  std::size_t size() const noexcept override { return ids_.size(); }
  std::size_t dim() const noexcept override { return dim_; }
  Metric metric() const noexcept override { return Metric::kCosine; }
  std::optional<double> estimated_us(const SearchParams& params) const override;
  std::uint64_t memory_bytes() const noexcept override;

  bool is_graph() const noexcept { return is_graph_; }
  std::span<const VectorId> ids() const noexcept { return ids_; }
  /// Of a graph; measured now if open() was given none. Empty for a flat index.
  const Calibration& calibration(const AskedQuestions& asked = {}) const;
  /// Searches a graph with this many candidates kept (efSearch): for comparisons.
  SearchResult search_with_effort(std::span<const float> query, const SearchParams& params,
                                  std::size_t effort) const;

 private:
  FaissIndex(std::shared_ptr<const FaissPlugin> plugin, const std::filesystem::path& file,
             const FaissLayout& layout, std::vector<VectorId> ids, Calibration calibration);
  struct Allowed;
  Allowed allowed_by(const SearchParams& params) const;
  /// The `count` best of FAISS, offered in our order; false: FAISS knows no more, or the next one
  /// could still belong to the k best.
  bool offer_best(std::span<const float> unit_query, const Allowed& allowed, std::size_t count,
                  std::size_t effort, Collector& collector) const;
  SearchResult scan(std::span<const float> unit_query, const SearchParams& params) const;
  SearchResult search_flat(std::span<const float> unit_query, const SearchParams& params) const;

  std::shared_ptr<const FaissPlugin> plugin_;
  std::size_t dim_;
  std::vector<VectorId> ids_;
  bool is_graph_ = false;
  std::uint64_t file_bytes_ = 0;
  void* handle_ = nullptr;          // the plugin's object
  const float* vectors_ = nullptr;  // its vectors, [size, dim]
  std::vector<float> norms_;
  bool has_zeros_ = false;
  mutable Once measured_;
  mutable double flat_us_ = 0;
  mutable Calibration calibration_;
};

}  // namespace nearlite
