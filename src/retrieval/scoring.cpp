#include "scoring.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "confidence.h"

namespace nearlite {
namespace {

/// Of the scale, for what says literally what was asked for; the rest of it orders these among
/// themselves, and what lies below is for all others.
constexpr double kExact = 0.9;

/// The confidence becomes the score. It is no sum, so each part takes its share of it.
void score_by(double confidence, RetrievalHit& hit) {
  if (hit.score > 0) {
    scale_score(hit, confidence / hit.score);
  } else {
    hit.parts = {{"confidence", confidence, 1, confidence}};
  }
  hit.score = confidence;
}

/// The greatest background of the stores of a model; nothing: none of them is calibrated.
std::optional<double> background_of(std::span<const StoreReply> replies, const std::string& model) {
  std::optional<double> greatest;
  for (const StoreReply& reply : replies) {
    if (reply.model != model || !reply.answer.background) continue;
    greatest = std::max(greatest.value_or(-1), *reply.answer.background);
  }
  return greatest;
}

void score_by_confidence(std::span<StoreReply> replies, const std::string& model) {
  const std::optional<double> background = background_of(replies, model);
  if (!background) return;
  for (StoreReply& reply : replies) {
    if (reply.model != model) continue;
    std::vector<double> similarities;
    for (const Place& place : reply.places) similarities.push_back(place.similarity.value_or(0));
    const std::vector<double> levels = levels_of(similarities);
    for (std::size_t i = 0; i < reply.hits.size(); ++i) {
      const std::size_t place = reply.place_of_hit[i];
      if (!reply.places[place].similarity) continue;
      RetrievalHit& hit = reply.hits[i];
      hit.level = levels[place];
      const double confidence = confidence_of(levels[place], *background);
      if (reply.answer.background) hit.confidence = confidence;
      score_by(confidence, hit);
    }
  }
}

void raise_exact(std::span<StoreReply> replies) {
  std::vector<RetrievalHit*> hits;
  for (StoreReply& reply : replies) {
    for (RetrievalHit& hit : reply.hits) hits.push_back(&hit);
  }
  if (std::ranges::none_of(hits, [](const RetrievalHit* hit) { return hit->exact; })) return;
  for (RetrievalHit* hit : hits) {
    const double factor = hit->exact ? 1 - kExact : kExact;
    scale_score(*hit, factor);
    if (hit->confidence) *hit->confidence *= factor;
    if (!hit->exact) continue;
    hit->score += kExact;
    hit->parts.push_back({"exact", 1, kExact, kExact});
    if (hit->confidence) *hit->confidence += kExact;
  }
}

}  // namespace

void scale_score(RetrievalHit& hit, double factor) {
  hit.score *= factor;
  for (SignalPart& part : hit.parts) {
    part.weight *= factor;
    part.contribution *= factor;
  }
}

void score_replies(std::span<StoreReply> replies) {
  std::set<std::string> models;
  for (const StoreReply& reply : replies) models.insert(reply.model);
  for (const std::string& model : models) score_by_confidence(replies, model);
  raise_exact(replies);
}

}  // namespace nearlite
