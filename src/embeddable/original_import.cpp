#include "original_import.h"

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "companion_json.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"

namespace nearlite {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kTakenOver[] = "original";  // the fact: stamp of the file that was taken over

std::string stamp_of_original(const std::filesystem::path& file) {
  const auto stamp = stamp_of(file);
  return stamp ? std::to_string(stamp->size_bytes) + "," + std::to_string(stamp->modified_ns) +
                     "," + std::to_string(stamp->inode)
               : std::string();
}

/// The original kept records as they came: what governance would not let through goes no further.
void govern(Json& json, const Gate& gate) {
  if (json.is_string()) {
    GateDecision decision = gate.check(json.get_ref<const std::string&>());
    if (decision.action == GateAction::kRedact) {
      json = std::move(decision.text);
    } else if (decision.action != GateAction::kAllow) {
      json = nullptr;
    }
    return;
  }
  if (!json.is_structured()) return;
  for (auto& element : json) govern(element, gate);
}

std::string governed(const std::string& text, const Gate& gate) {
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return {};
  govern(json, gate);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Equal as texts, or as numbers: Python writes some of them in other ways.
bool is_same_time(const std::string& a, const std::string& b) {
  if (a == b) return true;
  char* end_a = nullptr;
  char* end_b = nullptr;
  const double number_a = std::strtod(a.c_str(), &end_a);
  const double number_b = std::strtod(b.c_str(), &end_b);
  return !a.empty() && !b.empty() && *end_a == 0 && *end_b == 0 && number_a == number_b;
}

/// "" if the original wrote no time that can be read.
std::string as_rfc3339(const std::string& time) {
  try {
    return time.empty() ? std::string() : rfc3339(parse_rfc3339(time));
  } catch (const InvalidArgument&) {
    return {};
  }
}

}  // namespace

std::optional<std::filesystem::path> OriginalImport::find(VectorEngine& engine) {
  bool ours = false;
  std::optional<std::string> taken_over;
  engine.read([&](Sidecar& sidecar) {
    ours = sidecar.derived_file("", "metadata").has_value();
    taken_over = sidecar.fact(engine.settings().store, kTakenOver);
  });
  const std::filesystem::path& metadata = engine.settings().metadata;
  std::filesystem::path renamed = metadata;
  renamed += ".original";
  for (const auto& file : {renamed, metadata}) {
    if (file == metadata && ours) continue;
    const std::string stamp = stamp_of_original(file);
    if (!stamp.empty()) return taken_over == stamp ? std::nullopt : std::optional(file);
  }
  return std::nullopt;
}

OriginalImport::OriginalImport(std::filesystem::path file, const Gate& gate, int embedding_version)
    : file_(std::move(file)),
      stamp_(stamp_of_original(file_)),
      gate_(gate),
      embedding_version_(embedding_version) {
  try {
    original_ = read_original(file_);
  } catch (const Error& error) {
    failure_ = error.what();
  }
}

/// Ids of the original are plain text: 7 for the number and for the text.
std::map<std::string, OriginalEntry>::const_iterator OriginalImport::entry_of(
    const RecordKey& key) const {
  const auto found = original_.entries.find(companion_id(key, ""));
  if (found != original_.entries.end() || !key.table.empty()) return found;
  return original_.entries.find(key.display());
}

/// The original's own rule for keeping a vector: same version, same time of the last change.
bool OriginalImport::is_current(const OriginalEntry& entry, const PendingRecord& record) const {
  return entry.embedding_version.value_or(embedding_version_) == embedding_version_ &&
         (record.last_updated.empty() || is_same_time(entry.last_updated, record.last_updated));
}

void OriginalImport::apply(PendingRecord& record) {
  const auto found = entry_of(record.key);
  if (found == original_.entries.end()) return;
  const auto& [id, entry] = *found;
  matched_.insert(id);
  if (record.source_id.empty()) record.source_id = entry.source_id;
  if (record.kind.empty()) record.kind = entry.kind;
  const bool fits = record.content.kind == Content::Kind::kVector &&
                    entry.vector.size() == record.content.vector.size() &&
                    is_current(entry, record) &&
                    std::ranges::any_of(entry.vector, [](float value) { return value != 0; });
  if (fits) {
    // The hash stays that of the store's own vector: when the record changes, it is made anew.
    record.content.vector = entry.vector;
    record.written_at = as_rfc3339(entry.created_at);
    record.from_original = true;
  }
  if (original_.ours) return;
  Waiting waiting;
  waiting.key = record.key;
  waiting.text_hash = record.content.hash;
  waiting.row.kind = entry.kind;
  waiting.row.source_id = entry.source_id;
  Json fields = Json::parse(governed(entry.fields, gate_), nullptr, false);
  if (!fields.is_object()) fields = Json::object();
  if (entry.slot) fields["slot"] = *entry.slot;
  waiting.row.entry = fields.dump();
  if (!entry.record.empty()) waiting.row.content = governed(entry.record, gate_);
  waiting_.push_back(std::move(waiting));
}

void OriginalImport::store(Sidecar& sidecar, const std::string& store) {
  for (const Waiting& waiting : waiting_) {
    sidecar.put_imported({store, waiting.key.table, waiting.key.json}, waiting.row,
                         waiting.text_hash);
  }
  waiting_.clear();
}

void OriginalImport::finish(Sidecar& sidecar, const std::string& store) const {
  sidecar.set_fact(store, kTakenOver, stamp_);
}

std::vector<std::string> OriginalImport::notes() const {
  const std::string name = file_.string();
  if (!failure_.empty()) return {"nothing was taken over from the original's file: " + failure_};
  if (original_.ours) return {};
  std::vector<std::string> notes;
  if (!original_.damage.empty()) {
    notes.push_back(name + " is damaged: " + original_.damage + "; " +
                    std::to_string(original_.entries.size()) +
                    " entries before that could be read");
  } else if (!original_.recognized) {
    notes.push_back(name + " is no companion JSON of the original: nothing was taken over");
  }
  if (!original_.entries.empty()) {
    const std::size_t all = original_.entries.size();
    notes.push_back("took over what the original's " + name + " says of " +
                    std::to_string(matched_.size()) + " of its " + std::to_string(all) +
                    " records" +
                    (matched_.size() < all ? "; the rows of the others are gone" : ""));
  }
  return notes;
}

}  // namespace nearlite
