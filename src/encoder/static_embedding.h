#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nearlite/model/weights.h"

namespace nearlite {

/// A table of one vector per token, whose mean is the vector of a text: StaticEmbedding of
/// sentence-transformers, and model2vec.
struct StaticConfig {
  std::filesystem::path folder;
  std::string tensor;    // "embedding.weight", or "embeddings" of model2vec
  std::size_t rows = 0;  // tokens
  std::size_t dim = 0;
  bool drops_unknown = false;  // model2vec's own encoder leaves unknown tokens out
};

/// Looks at the header of model.safetensors. Throws NotFound, or CorruptData, also for a vocabulary
/// that was quantized.
StaticConfig read_static_config(const std::filesystem::path& folder);

/// The table itself. Immutable.
class StaticTable {
 public:
  /// Throws NotFound or CorruptData.
  explicit StaticTable(const StaticConfig& config);

  /// target: [dim]; all zero for a text without tokens. ids: below config.rows. `dropped`: an id
  /// that does not count. Sums are kept in double precision.
  void mean(std::span<const std::int32_t> ids, std::optional<std::int32_t> dropped,
            std::span<float> target) const;

 private:
  Weights weights_;  // the table is read from its mapping
  std::size_t dim_;
  std::vector<float> converted_;
  std::span<const float> table_;  // [rows, dim]
};

}  // namespace nearlite
