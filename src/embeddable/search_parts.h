#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "content.h"
#include "nearlite/embeddable/candidates.h"
#include "vector_engine.h"

namespace nearlite {

/// annoy: sqrt(2 - 2 cosine); faiss, flat, auto: the inner product of unit vectors.
float distance_of(Backend backend, float similarity);

/// The slots whose record passes.
std::vector<VectorId> allowed_slots(VectorEngine& engine,
                                    const std::function<bool(const RecordKey&)>& filter);

/// The passage of a hit as it is now; the beginning of the text if it changed since.
std::string passage_text_of(const EmbeddableDBMixin& db, const Record& record,
                            const Content& content, const SlotInfo& info, bool stale);

/// Why the query cannot be compared with the stored vectors; empty if it can.
std::string mismatch_of(const EmbeddableDBMixin& db, const EngineView& view);

}  // namespace nearlite
