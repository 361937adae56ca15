// Many answers, one list.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <tuple>

#include "nearlite/base/names.h"
#include "scoring.h"
#include "store_reply.h"

namespace nearlite {
namespace {

constexpr double kNearlyTheSame = 0.97;  // cosine from which two rows say the same
constexpr char kNotCalibrated[] =
    "not calibrated: a confidence needs a store of at least 50 embedded rows after a backfill, and "
    "a search by vector; hits without one are ranked by their evidence";

struct Found {
  RetrievalHit hit;
  std::vector<float> vector;
  std::string model;
};

double cosine(std::span<const float> a, std::span<const float> b) {
  double dot = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    dot += double{a[i]} * double{b[i]};
    aa += double{a[i]} * double{a[i]};
    bb += double{b[i]} * double{b[i]};
  }
  return aa > 0 && bb > 0 ? dot / std::sqrt(aa * bb) : 0;
}

std::string count(std::size_t number, const char* what) {
  return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
}

/// Folds each row into the best one of its store that says nearly the same.
void fold(std::vector<Found>& found, RetrievalResult& result) {
  std::vector<Found> kept;
  std::size_t folded = 0;
  for (Found& one : found) {
    const auto same = std::ranges::find_if(kept, [&](const Found& better) {
      return better.hit.store == one.hit.store && better.vector.size() == one.vector.size() &&
             cosine(better.vector, one.vector) >= kNearlyTheSame;
    });
    if (same == kept.end()) {
      kept.push_back(std::move(one));
    } else {
      same->hit.folded.push_back(std::move(one.hit.key));
      ++folded;
    }
  }
  found = std::move(kept);
  if (folded > 0) {
    result.left_out.push_back(count(folded, "row") +
                              " that say nearly the same as a better one (distinct)");
  }
}

void drop_doubtful(std::vector<Found>& found, double least, RetrievalResult& result) {
  double best = 0;
  const auto is_doubtful = [&](const Found& one) {
    if (!one.hit.confidence || *one.hit.confidence >= least) return false;
    best = std::max(best, *one.hit.confidence);
    return true;
  };
  const std::size_t dropped = std::erase_if(found, is_doubtful);
  if (dropped == 0) return;
  std::array<char, 120> text{};
  std::snprintf(text.data(), text.size(), " below confidence %.2f, the best of them with %.2f",
                least, best);
  result.left_out.push_back(count(dropped, "row") + text.data());
}

}  // namespace

RetrievalResult merge_replies(std::vector<StoreReply> replies, const RetrievalOptions& options) {
  score_replies(replies);
  RetrievalResult result;
  result.k = options.k;
  std::vector<std::string> reasons;
  std::vector<Found> found;
  bool exhausted = true;
  std::size_t num_forbidden = 0;
  for (StoreReply& reply : replies) {
    if (reply.failure) {
      reasons.push_back("store " + reply.failure->store + " failed");
      result.failures.push_back(std::move(*reply.failure));
      continue;
    }
    if (!reply.incomplete_reason.empty())
      reasons.push_back(reply.answer.store + ": " + reply.incomplete_reason);
    exhausted = exhausted && reply.exhausted;
    num_forbidden += reply.num_forbidden;
    for (std::size_t i = 0; i < reply.hits.size(); ++i) {
      found.push_back(
          {std::move(reply.hits[i]),
           i < reply.vectors.size() ? std::move(reply.vectors[i]) : std::vector<float>{},
           reply.model});
    }
    result.stores.push_back(std::move(reply.answer));
  }
  const auto is_calibrated = [](const Found& one) { return one.hit.confidence.has_value(); };
  const bool calibrated = std::ranges::all_of(found, is_calibrated);
  if (!calibrated || (found.empty() && !result.stores.empty() && !result.stores[0].background))
    result.confidence_note = kNotCalibrated;
  // Stable: hits of one store that are equally good stay in the order of their keys.
  std::ranges::stable_sort(found, [](const Found& a, const Found& b) {
    return std::tuple(-a.hit.score, std::string_view(a.hit.store)) <
           std::tuple(-b.hit.score, std::string_view(b.hit.store));
  });
  if (num_forbidden > 0)
    result.left_out.push_back(count(num_forbidden, "row") + " that governance forbids to show");
  if (options.distinct) fold(found, result);
  const std::size_t before = found.size();
  if (options.min_confidence > 0) drop_doubtful(found, options.min_confidence, result);
  if (options.distinct && !exhausted && before < options.k)
    reasons.emplace_back("too many rows say nearly the same");
  // A store that came back short matters only if the whole list did too; one that failed always
  // does.
  if (!result.failures.empty() || before < options.k)
    result.incomplete_reason = join_names(reasons, "; ");
  result.complete = result.incomplete_reason.empty();
  if (found.size() > options.k) found.resize(options.k);
  for (Found& one : found) {
    one.hit.rank = result.hits.size() + 1;
    result.hits.push_back(std::move(one.hit));
  }
  return result;
}

}  // namespace nearlite
