#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "nearlite/retrieval/universal_retriever.h"
#include "nearlite/service/context_entry.h"
#include "nearlite/service/patch_retriever.h"

namespace nearlite::vector_service {

/// What an entry is weighed by, besides the row itself.
struct ContextScoring {
  const ContextSettings& settings;
  const std::map<std::string, Reliability>& reliability;  // by origin
  std::chrono::system_clock::time_point now;
};

/// The group of an origin in the text: "error" -> "errors"; a store of one's own is its own group.
std::string group_of(const std::string& origin);
/// Groups in their order, those in `first` (groups or origins) before all others.
void sort_by_group(std::vector<ContextEntry>& entries, const std::vector<std::string>& first);

/// The entry of a row, weighed. `risk`: its likeness to failures.
ContextEntry entry_of(const RetrievalHit& hit, HitGovernance flags, double risk,
                      const ContextScoring& scoring);
ContextEntry entry_of(const FoundPatch& found, const ContextScoring& scoring);

}  // namespace nearlite::vector_service
