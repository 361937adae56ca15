// What the ways of searching share.
#include "search_parts.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "embedder.h"
#include "nearlite/base/error.h"
#include "nearlite/base/utf8.h"

namespace nearlite {
namespace {

constexpr std::size_t kSnippetBytes = 4096;  // of a text whose passages are not known any more

std::optional<std::int64_t> number_of(const RecordKey& key) {
  std::int64_t number = 0;
  const char* end = key.json.data() + key.json.size();
  const auto [at, error] = std::from_chars(key.json.data(), end, number);
  if (error != std::errc{} || at != end) return std::nullopt;
  return number;
}

}  // namespace

float distance_of(Backend backend, float similarity) {
  if (backend != Backend::kAnnoy) return similarity;
  return std::sqrt(std::max(0.0F, 2.0F - 2.0F * similarity));
}

bool is_before(const RecordKey& a, const RecordKey& b) {
  if (a.table != b.table) return a.table < b.table;
  const auto number_a = number_of(a);
  const auto number_b = number_of(b);
  if (number_a && number_b) return *number_a < *number_b;
  if (number_a.has_value() != number_b.has_value()) return number_a.has_value();
  return a.json < b.json;
}

std::vector<VectorId> allowed_slots(VectorEngine& engine,
                                    const std::function<bool(const RecordKey&)>& filter) {
  const auto directory = engine.directory();
  std::vector<VectorId> slots;
  for (std::size_t record = 0; record < directory->num_records(); ++record) {
    if (!filter(directory->key_of(record))) continue;
    for (const std::int64_t slot : directory->slots_of(record)) slots.push_back(VectorId{slot});
  }
  return slots;
}

std::string passage_text_of(const EmbeddableDBMixin& db, const Record& record,
                            const Content& content, const SlotInfo& info, bool stale) {
  std::string text = content.text;
  if (content.kind == Content::Kind::kVector) {
    try {
      text = db.text(record);
    } catch (const std::exception&) {
      text.clear();
    }
    if (find_invalid_utf8(text)) text.clear();
    return std::string(utf8_prefix(shown_text(*db.options().gate, text), kSnippetBytes));
  }
  // What the row says now has not passed the gate yet.
  if (stale) return std::string(utf8_prefix(shown_text(*db.options().gate, text), kSnippetBytes));
  if (!info.governed_text.empty()) text = info.governed_text;
  if (info.text_end > text.size() || info.text_begin >= info.text_end) return text;
  return text.substr(info.text_begin, info.text_end - info.text_begin);
}

std::string mismatch_of(const EmbeddableDBMixin& db, const EngineView& view) {
  if (!view.model || is_own_identity(view.model->identity)) return {};
  try {
    if (db.question_model() == view.model->identity) return {};
  } catch (const Error&) {
    return {};  // no model here: the query came from elsewhere, and only its size can be compared
  }
  return std::to_string(view.records) + " records were embedded with another model (" +
         view.model->name + "): run a backfill";
}

}  // namespace nearlite
