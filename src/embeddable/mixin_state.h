#pragma once

#include <memory>
#include <mutex>

#include "nearlite/embeddable/embeddable_db_mixin.h"
#include "vector_engine.h"

namespace nearlite {

struct EmbeddableDBMixin::State {
  std::mutex opening;
  std::unique_ptr<VectorEngine> engine;
};

/// Whether vectors of this generation fit what `db` would make now. Reads the model's small files,
/// unless the vectors are the store's own. Throws as TextEncoder::info().
bool is_current(const EmbeddableDBMixin& db, const ModelGeneration& model);

}  // namespace nearlite
