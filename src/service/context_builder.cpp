#include "nearlite/service/context_builder.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "nearlite/base/utf8.h"
#include "nearlite/service/result_json.h"
#include "operation.h"

namespace nearlite::vector_service {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kPieceBytes = 256;    // less than any model's limit of tokens
constexpr std::size_t kLongestField = 200;  // bytes; longer ones are texts, not labels
constexpr std::size_t kPassageBytes = 2000;

/// The groups in their order; stores of one's own come behind, by name.
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kGroups = {
    {{"error", "errors"},
     {"bot", "bots"},
     {"workflow", "workflows"},
     {"enhancement", "enhancements"},
     {"info", "information"},
     {"information", "information"}}};

std::string group_of(const ContextEntry& entry) {
  for (const auto& [origin, group] : kGroups) {
    if (entry.origin == origin) return std::string(group);
  }
  return entry.origin;
}

std::size_t place_of(const ContextEntry& entry, const std::vector<std::string>& first) {
  const std::string group = group_of(entry);
  for (std::size_t i = 0; i < first.size(); ++i) {
    if (first[i] == group || first[i] == entry.origin) return i;
  }
  for (std::size_t i = 0; i < kGroups.size(); ++i) {
    if (kGroups.at(i).second == group) return first.size() + i;
  }
  return first.size() + kGroups.size();
}

Json json_of(const ContextEntry& entry) {
  Json json = {{"id", entry.key.display()},
               {"desc", entry.desc},
               {"similarity", std::round(entry.similarity * 1e4) / 1e4},
               {"origin_db", entry.store}};
  if (entry.stale) json["stale"] = true;
  for (const auto& [name, value] : entry.fields) {
    if (!json.contains(name)) json[name] = nearlite::json_of(value);
  }
  return json;
}

std::string text_of_group(const std::vector<ContextEntry>& entries) {
  Json groups = Json::object();
  for (const ContextEntry& entry : entries) groups[group_of(entry)].push_back(json_of(entry));
  return json_text(groups);
}

/// The first `words` words, "..." behind them.
std::string first_words(const std::string& text, std::size_t words) {
  std::size_t at = 0;
  for (std::size_t i = 0; i < words && at != std::string::npos; ++i) {
    at = text.find_first_not_of(' ', at);
    if (at != std::string::npos) at = text.find(' ', at);
  }
  return at == std::string::npos ? text : text.substr(0, at) + "...";
}

std::size_t count_words(const std::string& text) {
  std::size_t words = 0;
  bool inside = false;
  for (const char c : text) {
    if (c != ' ' && !inside) ++words;
    inside = c != ' ';
  }
  return words;
}

bool has_tag(const RetrievalHit& hit, const std::vector<std::string>& tags) {
  for (const auto& [name, value] : hit.fields) {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr || (name != "tags" && name != "tag")) continue;
    for (const std::string& tag : tags) {
      const std::string wrapped = "," + to_lower_ascii(*text) + ",";
      if (wrapped.find("," + to_lower_ascii(tag) + ",") != std::string::npos) return true;
    }
  }
  return false;
}

}  // namespace

std::size_t count_tokens(const TextEncoder& encoder, std::string_view text) {
  const std::size_t special = encoder.tokenize("").ids.size();
  std::size_t tokens = 0;
  while (!text.empty()) {
    std::string_view piece = utf8_prefix(text, kPieceBytes);
    if (piece.size() < text.size()) {
      // Cut between words, where tokens end anyway.
      if (const std::size_t space = piece.rfind(' '); space != std::string_view::npos && space > 0)
        piece = piece.substr(0, space);
    }
    const std::size_t with_special = encoder.tokenize(piece).ids.size();
    tokens += with_special - std::min(special, with_special);
    text.remove_prefix(piece.size());
  }
  return tokens;
}

ContextBuilder::ContextBuilder(Search search, const TextEncoder& encoder, const Clock& clock,
                               LogSink& log, MetricsSink& metrics)
    : search_(std::move(search)), encoder_(encoder), clock_(clock), log_(log), metrics_(metrics) {}

BuiltContext ContextBuilder::build_context(std::string_view question,
                                           const ContextRequest& request) const {
  if (request.max_tokens == 0) throw InvalidArgument("max_tokens is 0, at least 1 is needed");
  BuiltContext context;
  context.session_id =
      request.session_id.empty() ? "context-" + rfc3339(clock_.now()) : request.session_id;
  Operation operation("ContextBuilder.build_context", context.session_id, clock_, log_, metrics_);
  const Stopwatch stopwatch;
  RetrievalOptions options = request.retrieval;
  options.k = request.top_k * 5;
  options.snippet_bytes = kPassageBytes;
  const RetrievalResult found = search_(question, options, context.session_id);
  context.complete = found.failures.empty();
  context.entries = entries_of(found, request);
  context.truncated = fit(context.entries, request.max_tokens);
  context.json = text_of_group(context.entries);
  for (const ContextEntry& entry : context.entries)
    context.vectors.emplace_back(entry.origin, entry.store + ":" + entry.key.display(),
                                 entry.score);
  context.stats.tokens = count_tokens(encoder_, context.json);
  context.stats.prompt_tokens = count_tokens(encoder_, question);
  context.stats.wall_time_ms = stopwatch.elapsed_ms();
  metrics_.add("retrieval_tokens_injected_total", {}, static_cast<double>(context.stats.tokens));
  operation.finished(context.entries.size());
  return context;
}

std::vector<ContextEntry> ContextBuilder::entries_of(const RetrievalResult& found,
                                                     const ContextRequest& request) const {
  std::vector<ContextEntry> entries;
  std::map<std::string, std::size_t> per_origin;
  for (const RetrievalHit& hit : found.hits) {
    if (has_tag(hit, request.exclude_tags)) continue;
    if (per_origin[hit.origin]++ >= request.top_k) continue;
    ContextEntry entry{hit.origin, hit.store, hit.key, hit.score,   hit.similarity,
                       hit.reason, hit.stale, false,   hit.snippet, {}};
    for (const auto& [name, value] : hit.fields) {
      const auto* text = std::get_if<std::string>(&value);
      const bool shown_already = text != nullptr && hit.snippet.find(*text) != std::string::npos;
      const bool label = text == nullptr || (text->size() <= kLongestField && !text->empty());
      if (label && !shown_already && !std::holds_alternative<std::monostate>(value) &&
          !std::holds_alternative<Blob>(value))
        entry.fields.emplace_back(name, value);
    }
    entries.push_back(std::move(entry));
  }
  std::ranges::stable_sort(entries, [&](const ContextEntry& a, const ContextEntry& b) {
    return std::tuple(place_of(a, request.prioritise), group_of(a)) <
           std::tuple(place_of(b, request.prioritise), group_of(b));
  });
  return entries;
}

std::size_t ContextBuilder::tokens_of(const std::vector<ContextEntry>& entries) const {
  return count_tokens(encoder_, text_of_group(entries));
}

/// Cuts or drops the weakest entries until the text fits; true if anything was cut.
bool ContextBuilder::fit(std::vector<ContextEntry>& entries, std::size_t max_tokens) const {
  bool cut = false;
  while (!entries.empty() && tokens_of(entries) > max_tokens) {
    cut = true;
    // The weakest; of equals the last one, so that the answer does not depend on chance.
    std::size_t weakest = 0;
    for (std::size_t i = 1; i < entries.size(); ++i) {
      if (entries[i].score <= entries[weakest].score) weakest = i;
    }
    const std::string whole = entries[weakest].desc;
    const auto fits_with = [&](std::size_t words) {
      entries[weakest].desc = first_words(whole, words);
      return tokens_of(entries) <= max_tokens;
    };
    std::size_t most = 0;  // words that fit; found by halving
    for (std::size_t step = std::bit_floor(std::max<std::size_t>(count_words(whole), 1)); step > 0;
         step /= 2) {
      if (most + step < count_words(whole) && fits_with(most + step)) most += step;
    }
    if (most == 0) {
      entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(weakest));
      continue;
    }
    entries[weakest].desc = first_words(whole, most);
    entries[weakest].shortened = true;
  }
  return cut;
}

}  // namespace nearlite::vector_service
