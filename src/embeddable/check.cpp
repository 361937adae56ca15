// Whether sidecar, segment, index and JSON fit each other.
#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "mixin_state.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/folder.h"

namespace nearlite {
namespace {

/// Whether every vector belongs to a model that is known, and the segment to the one in use.
void check_models(Sidecar& sidecar, const std::string& store, std::vector<CheckFinding>& findings) {
  const std::string file = sidecar.file().string();
  if (const std::size_t lost = sidecar.num_without_model(store); lost > 0) {
    findings.push_back({"model-unknown", file,
                        std::to_string(lost) +
                            " embedded records name a model that the sidecar does not know; the "
                            "next backfill embeds them again",
                        false});
  }
  const auto active = sidecar.fact(store, "model");
  if (!active) return;
  const auto models = sidecar.models(store);
  const auto model = std::ranges::find_if(
      models, [&](const ModelGeneration& known) { return std::to_string(known.id) == *active; });
  if (model == models.end()) {
    findings.push_back({"model-unknown", file,
                        "the model in use (" + *active + ") is not one the sidecar knows", false});
    return;
  }
  const auto segment = sidecar.derived_file(store, "segment");
  if (segment && segment->model_identity != model->identity) {
    findings.push_back({"segment-model", segment->file,
                        "the segment " + segment->file +
                            " holds vectors of another model than the "
                            "one in use (" +
                            model->name + ")",
                        false});
  }
}

std::filesystem::path segment_folder(const EngineSettings& settings) {
  return std::filesystem::path(settings.sidecar).replace_extension(".vec");
}

/// No sidecar, or an empty one, though segments were made of it: else it was never begun.
std::vector<CheckFinding> lost_sidecar(const EngineSettings& settings) {
  const auto names = names_in(segment_folder(settings));
  if (std::ranges::none_of(names, [](const auto& name) { return name.ends_with(".vecs"); }))
    return {};
  const std::string file = settings.sidecar.string();
  return {{"sidecar-lost", file,
           file + " is " + (stamp_of(settings.sidecar) ? "empty" : "missing") +
               ", though there are files made of it; restore it from a backup, or the next "
               "backfill embeds all rows again",
           false}};
}

/// Files in the folder of segments that nobody knows of.
std::vector<CheckFinding> foreign_files(Sidecar& sidecar, const EngineSettings& settings) {
  std::set<std::string> known = {"lock"};
  for (const DerivedFile& file : sidecar.derived_files()) known.insert(file.file);
  const std::filesystem::path folder = segment_folder(settings);
  std::vector<CheckFinding> findings;
  for (const std::string& name : names_in(folder)) {
    if (known.contains(name)) continue;
    const std::string file = (folder / name).string();
    findings.push_back({"foreign-file", file, file + " is none of the files of this store", false});
  }
  return findings;
}

/// The truth: SQLite's own check, the links between its tables, and the checksum of every vector.
std::vector<CheckFinding> check_sidecar(Sidecar& sidecar, const std::string& store,
                                        CheckDepth depth, std::vector<std::int64_t>& damaged) {
  std::vector<CheckFinding> findings;
  const std::string file = sidecar.file().string();
  if (const std::string verdict =
          depth == CheckDepth::kFull ? sidecar.integrity_check() : sidecar.quick_check();
      verdict != "ok") {
    findings.push_back({"sidecar-damaged", file, "SQLite says: " + verdict, false});
  }
  if (const std::size_t broken = sidecar.num_broken_links(); broken > 0) {
    findings.push_back(
        {"sidecar-links", file,
         std::to_string(broken) + " records without vectors or vectors without records", false});
  }
  check_models(sidecar, store, findings);
  if (const std::size_t orphans = sidecar.num_keyword_orphans(); orphans > 0) {
    findings.push_back({"keyword-orphans", file,
                        std::to_string(orphans) + " passages have words but no vector", false});
  }
  if (const std::string verdict = sidecar.check_keywords(); verdict != "ok") {
    findings.push_back({"keywords-damaged", file,
                        "the words of the passages do not fit their texts: " + verdict, false});
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

std::vector<CheckFinding> EmbeddableDBMixin::check(bool repair, CheckDepth depth) {
  std::vector<CheckFinding> findings;
  VectorEngine& vectors = engine();
  std::vector<std::int64_t> damaged;
  try {
    const bool is_there = vectors.read([&](Sidecar& sidecar) {
      findings = check_sidecar(sidecar, options_.store_name, depth, damaged);
      for (CheckFinding& finding : foreign_files(sidecar, vectors.settings()))
        findings.push_back(std::move(finding));
    });
    if (!is_there) return lost_sidecar(vectors.settings());
  } catch (const CorruptData& error) {
    // Nothing can be rebuilt from what cannot be read.
    return {{"sidecar-damaged", sidecar_path().string(), error.what(), false}};
  }
  if (depth == CheckDepth::kFull) {
    if (const std::size_t orphans = freshness().orphan; orphans > 0) {
      findings.push_back({"orphan-keys", sidecar_path().string(),
                          std::to_string(orphans) +
                              " records have no row any more; the next backfill removes them",
                          false});
    }
  }
  const auto derived = vectors.verify_derived();
  for (const auto& damage : derived)
    findings.push_back({damage.code, damage.file.string(), damage.message, false});
  if (!repair) return findings;
  if (!damaged.empty()) {
    vectors.write([&](Sidecar& sidecar) { sidecar.mark_damaged(damaged); });
  }
  const auto is_about_words = [](const CheckFinding& finding) {
    return finding.code.starts_with("keyword");
  };
  if (std::ranges::any_of(findings, is_about_words)) {
    vectors.write([](Sidecar& sidecar) { sidecar.rebuild_keywords(); });
    for (CheckFinding& finding : findings) finding.repaired = is_about_words(finding);
  }
  // Also writes what a small backfill left incomplete.
  vectors.publish(PublishRule::kAlways);
  const auto left = vectors.verify_derived();
  for (CheckFinding& finding : findings) {
    const bool is_derived = std::ranges::any_of(
        derived, [&](const auto& damage) { return damage.code == finding.code; });
    const bool still =
        std::ranges::any_of(left, [&](const auto& damage) { return damage.code == finding.code; });
    const bool was_foreign = finding.code == "foreign-file" && !stamp_of(finding.file);
    finding.repaired = finding.repaired || (is_derived && !still) || was_foreign ||
                       finding.code == "segment-model";
  }
  return findings;
}

}  // namespace nearlite
