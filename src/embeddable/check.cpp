// Whether sidecar, segment, index and JSON fit each other.
#include <algorithm>
#include <limits>
#include <map>

#include "mixin_state.h"
#include "nearlite/base/error.h"

namespace nearlite {
namespace {

/// The truth: SQLite's own check, the links between its tables, and the checksum of every vector.
std::vector<CheckFinding> check_sidecar(Sidecar& sidecar, const std::string& store,
                                        std::vector<std::int64_t>& damaged) {
  std::vector<CheckFinding> findings;
  const std::string file = sidecar.file().string();
  if (const std::string verdict = sidecar.quick_check(); verdict != "ok") {
    findings.push_back({"sidecar-damaged", file, "SQLite says: " + verdict, false});
  }
  if (const std::size_t broken = sidecar.num_broken_links(); broken > 0) {
    findings.push_back(
        {"sidecar-links", file,
         std::to_string(broken) + " records without vectors or vectors without records", false});
  }
  std::map<std::string, int> identities;
  for (const ModelGeneration& model : sidecar.models(store)) ++identities[model.identity];
  for (const auto& [identity, count] : identities) {
    sidecar.scan_vectors(store, identity, 0, std::numeric_limits<std::int64_t>::max(),
                         [&](const VectorRow& row) {
                           if (!row.intact) damaged.push_back(row.slot);
                         });
  }
  for (const std::int64_t slot : damaged) {
    const auto info = sidecar.find_slot(slot);
    findings.push_back({"vector-checksum", file,
                        "the vector of record " + (info ? info->key : "?") +
                            " is not what was stored (checksum); the next backfill embeds it again",
                        false});
  }
  return findings;
}

}  // namespace

std::vector<CheckFinding> EmbeddableDBMixin::check(bool repair) {
  std::vector<CheckFinding> findings;
  VectorEngine& vectors = engine();
  std::vector<std::int64_t> damaged;
  try {
    vectors.read(
        [&](Sidecar& sidecar) { findings = check_sidecar(sidecar, options_.store_name, damaged); });
  } catch (const CorruptData& error) {
    // Nothing can be rebuilt from what cannot be read.
    return {{"sidecar-damaged", sidecar_path().string(), error.what(), false}};
  }
  const auto derived = vectors.verify_derived();
  for (const auto& damage : derived)
    findings.push_back({damage.code, damage.file.string(), damage.message, false});
  if (!repair) return findings;
  if (!damaged.empty()) {
    vectors.write([&](Sidecar& sidecar) { sidecar.mark_damaged(damaged); });
  }
  // Also writes what a small backfill left incomplete.
  vectors.publish(PublishRule::kAlways);
  const auto left = vectors.verify_derived();
  for (CheckFinding& finding : findings) {
    const bool is_derived = std::ranges::any_of(
        derived, [&](const auto& damage) { return damage.code == finding.code; });
    const bool still =
        std::ranges::any_of(left, [&](const auto& damage) { return damage.code == finding.code; });
    finding.repaired = is_derived && !still;
  }
  return findings;
}

}  // namespace nearlite
