#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "nearlite/base/files.h"
#include "nearlite/index/calibration.h"
#include "nearlite/index/vector_index.h"

namespace nearlite {

class FaissPlugin;

/// FAISS stands in a library of its own (libnearlite_faiss.so), so that neither it nor OpenMP nor
/// BLAS is in the process unless it is asked for. Looked for in this order: `explicit_path` if not
/// empty, beside the executable, in ../lib/nearlite and ../lib relative to it, beside the shared
/// object this code is in. Throws NotFound that says where it looked and what to install, or
/// CorruptData if it is of another version. Loaded once; thread-safe.
std::shared_ptr<const FaissPlugin> load_faiss_plugin(
    const std::filesystem::path& explicit_path = {});

/// Writes a FAISS file (IndexFlatIP over the vectors scaled to length 1) that faiss.read_index
/// loads; the caller commits it. Throws InvalidArgument (check_rows), Unavailable.
void build_faiss(const FaissPlugin& plugin, AtomicFile& file, const VectorRows& rows);

/// A FAISS flat index, searched by FAISS: exact. Order and ties follow the rules of exact_search,
/// but scores come from the scaled vectors of the file and may differ from it in the last bits.
/// Thread-safe.
class FaissIndex : public CostedIndex {
 public:
  /// ids: of the vectors in slot order. The header is checked against the file's length before
  /// FAISS sees a byte; FAISS trusts the rest, so compare the manifest's digest first. Throws
  /// NotFound, Unavailable, CorruptData.
  static std::shared_ptr<const FaissIndex> open(std::shared_ptr<const FaissPlugin> plugin,
                                                const std::filesystem::path& file, std::size_t dim,
                                                std::vector<VectorId> ids);
  ~FaissIndex() override;

  SearchResult search(std::span<const float> query, const SearchParams& params) const override;
  void save(const std::filesystem::path& file) const override;
  std::size_t size() const noexcept override { return ids_.size(); }
  std::size_t dim() const noexcept override { return dim_; }
  Metric metric() const noexcept override { return Metric::kCosine; }
  std::optional<double> estimated_us(const SearchParams& params) const override;

 private:
  FaissIndex(std::shared_ptr<const FaissPlugin> plugin, const std::filesystem::path& file,
             std::size_t dim, std::vector<VectorId> ids);

  std::shared_ptr<const FaissPlugin> plugin_;
  std::size_t dim_;
  std::vector<VectorId> ids_;
  void* handle_ = nullptr;          // the plugin's object
  const float* vectors_ = nullptr;  // its vectors, [size, dim]
  std::vector<float> norms_;
  mutable std::once_flag timed_;
  mutable double cost_us_ = 0;
};

}  // namespace nearlite
