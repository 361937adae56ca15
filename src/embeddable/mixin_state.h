#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "nearlite/embeddable/embeddable_db_mixin.h"
#include "vector_engine.h"

namespace nearlite {

struct EmbeddableDBMixin::State {
  std::mutex opening;
  std::unique_ptr<VectorEngine> engine;
  std::string other_identity;  // of other_encoder
  std::shared_ptr<const TextEncoder>
      other_encoder;  // of the store's vectors, if it is not options_'
};

/// The generation whose vectors answer questions; nothing if none was embedded yet.
std::optional<ModelGeneration> active_model(Sidecar& sidecar, const std::string& store);

/// Whether vectors of this generation fit what `db` would make now. Reads the model's small files,
/// unless the vectors are the store's own. Throws as TextEncoder::info().
bool is_current(const EmbeddableDBMixin& db, const ModelGeneration& model);

}  // namespace nearlite
