#include "static_embedding.h"

#include <algorithm>

#include "nearlite/base/error.h"

namespace nearlite {

StaticConfig read_static_config(const std::filesystem::path& folder) {
  const Weights weights(folder);
  StaticConfig config{.folder = folder, .tensor = "embedding.weight"};
  if (!weights.has(config.tensor)) config.tensor = "embeddings";
  const std::vector<std::size_t>& shape = weights.shape(config.tensor);
  if (shape.size() != 2 || shape[0] == 0 || shape[1] == 0 || shape[1] > 65536) {
    throw CorruptData(folder.string() + ": tensor '" + config.tensor + "' has the shape " +
                      shape_text(shape) + ", one row per token was expected");
  }
  for (const char* name : {"weights", "mapping"}) {
    if (weights.names_of_all().contains(name)) {
      throw CorruptData(folder.string() + ": the tensor '" + name +
                        "' of a quantized vocabulary is not supported");
    }
  }
  config.rows = shape[0];
  config.dim = shape[1];
  return config;
}

StaticTable::StaticTable(const StaticConfig& config) : weights_(config.folder), dim_(config.dim) {
  const std::vector<std::size_t> shape{config.rows, config.dim};
  if (const auto mapped = weights_.view(config.tensor, shape)) {
    table_ = *mapped;
  } else {
    converted_ = weights_.read(config.tensor, shape);
    table_ = converted_;
  }
}

void StaticTable::mean(std::span<const std::int32_t> ids, std::optional<std::int32_t> dropped,
                       std::span<float> target) const {
  std::vector<double> sums(dim_);
  std::size_t count = 0;
  for (const std::int32_t id : ids) {
    if (id == dropped) continue;
    const auto row = table_.subspan(static_cast<std::size_t>(id) * dim_, dim_);
    for (std::size_t i = 0; i < dim_; ++i) sums[i] += static_cast<double>(row[i]);
    ++count;
  }
  const double divisor = static_cast<double>(std::max<std::size_t>(count, 1));
  for (std::size_t i = 0; i < dim_; ++i) target[i] = static_cast<float>(sums[i] / divisor);
}

}  // namespace nearlite
