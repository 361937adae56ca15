#include "context_text.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>

#include "context_scoring.h"
#include "nearlite/base/utf8.h"
#include "nearlite/service/result_json.h"

namespace nearlite::vector_service {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kPieceBytes = 256;  // less than any model's limit of tokens

double short_number(double value) { return std::round(value * 1e4) / 1e4; }

/// What is unknown or nothing is left out: every token of a prompt counts.
Json json_of(const ContextEntry& entry) {
  Json json = {{"id", entry.key.display()}, {"desc", entry.desc}};
  if (!std::isnan(entry.similarity)) json["similarity"] = short_number(entry.similarity);
  json["origin_db"] = entry.store;
  if (entry.metric != 0) json["metric"] = short_number(entry.metric);
  if (entry.roi != 0) json["roi"] = short_number(entry.roi);
  if (entry.risk_score && *entry.risk_score > 0)
    json["risk_score"] = short_number(*entry.risk_score);
  if (entry.stale) json["stale"] = true;
  for (const auto& [name, value] : entry.fields) {
    if (!json.contains(name)) json[name] = nearlite::json_of(value);
  }
  return json;
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

/// Whether `a` goes before `b` when something has to go.
bool goes_first(const ContextEntry& a, const ContextEntry& b, Keep keep) {
  switch (keep) {
    case Keep::kNewest:
      if (a.ts != b.ts) return a.ts < b.ts;
      break;
    case Keep::kRoi:
      if (a.roi != b.roi) return a.roi < b.roi;
      break;
    case Keep::kBest:
      break;
  }
  return a.score < b.score;
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

std::string text_of_entry(const ContextEntry& entry) { return json_text(json_of(entry)); }

std::string text_of_entries(const std::vector<ContextEntry>& entries) {
  Json groups = Json::object();
  for (const ContextEntry& entry : entries)
    groups[group_of(entry.origin)].push_back(json_of(entry));
  return json_text(groups);
}

bool fit_into(std::vector<ContextEntry>& entries, std::size_t max_tokens, Keep keep,
              const TextEncoder& encoder) {
  const auto tokens_of = [&] { return count_tokens(encoder, text_of_entries(entries)); };
  bool cut = false;
  while (!entries.empty() && tokens_of() > max_tokens) {
    cut = true;
    // Of equals the last one, so that the answer does not depend on chance.
    std::size_t first = 0;
    for (std::size_t i = 1; i < entries.size(); ++i) {
      if (!goes_first(entries[first], entries[i], keep)) first = i;
    }
    const std::string whole = entries[first].desc;
    std::size_t most = 0;  // words that fit; found by halving
    for (std::size_t step = std::bit_floor(std::max<std::size_t>(count_words(whole), 1)); step > 0;
         step /= 2) {
      if (most + step >= count_words(whole)) continue;
      entries[first].desc = first_words(whole, most + step);
      if (tokens_of() <= max_tokens) most += step;
    }
    if (most == 0) {
      entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(first));
      continue;
    }
    entries[first].desc = first_words(whole, most);
    entries[first].shortened = true;
  }
  return cut;
}

}  // namespace nearlite::vector_service
