#pragma once

#include <optional>
#include <span>
#include <string>

#include "vector_engine.h"

namespace nearlite {

/// Keeps a sample of the store's vectors for judging similarities: what is ordinary in this store.
/// Taken anew when the model changed, a fifth of the records came or went, or it has died away.
/// Belongs into a write transaction. Small stores have none.
void refresh_background(Sidecar& sidecar, const std::string& store);

/// The mean cosine of the query with the sample; nothing if there is none.
std::optional<double> background_similarity(VectorEngine& engine, const std::string& store,
                                            std::span<const float> query);

}  // namespace nearlite
