#include "background.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "stored_vectors.h"

namespace nearlite {
namespace {

constexpr char kFact[] = "background";  // MODEL RECORDS SLOT SLOT ...
constexpr std::size_t kSample = 256;
constexpr std::size_t kSmallest = 50;  // records; of fewer, what is ordinary cannot be said
constexpr double kDrift = 0.2;

struct Sample {
  std::int64_t model = 0;
  std::size_t records = 0;
  std::vector<std::int64_t> slots;
};

Sample sample_of(const std::string& fact) {
  Sample sample;
  std::istringstream in(fact);
  in >> sample.model >> sample.records;
  for (std::int64_t slot = 0; in >> slot;) sample.slots.push_back(slot);
  return sample;
}

bool still_fits(Sidecar& sidecar, const Sample& sample, std::int64_t model, std::size_t records) {
  const double was = static_cast<double>(sample.records);
  if (sample.model != model || std::abs(static_cast<double>(records) - was) > kDrift * was)
    return false;
  const auto live = std::ranges::count_if(
      sample.slots, [&](std::int64_t slot) { return sidecar.find_slot(slot).has_value(); });
  return static_cast<double>(live) >= (1 - kDrift) * static_cast<double>(sample.slots.size());
}

}  // namespace

void Background::refresh(Sidecar& sidecar, const std::string& store) {
  const std::size_t records = sidecar.num_embedded(store);
  const std::int64_t model = std::stoll(sidecar.fact(store, "model").value_or("0"));
  if (records < kSmallest || model == 0) {
    sidecar.remove_fact(store, kFact);
    return;
  }
  const std::string known = fact(sidecar, store);
  if (!known.empty() && still_fits(sidecar, sample_of(known), model, records)) return;
  std::vector<std::int64_t> slots;
  for (const ModelGeneration& generation : sidecar.models(store)) {
    if (generation.id != model) continue;
    sidecar.for_each_slot(store, generation.identity,
                          [&](const SlotInfo& info) { slots.push_back(info.slot); });
  }
  std::ostringstream out;
  out << model << ' ' << records;
  const std::size_t count = std::min(kSample, slots.size());
  for (std::size_t i = 0; i < count; ++i) out << ' ' << slots[i * slots.size() / count];
  sidecar.set_fact(store, kFact, out.str());
}

std::string Background::fact(Sidecar& sidecar, const std::string& store) {
  return sidecar.fact(store, kFact).value_or("");
}

void Background::add_up(const IndexSnapshot& snapshot) const {
  sum_.assign(snapshot.dim(), 0);
  count_ = 0;
  for (const std::int64_t slot : sample_of(fact_).slots) {
    const std::span<const float> vector = vector_in(snapshot, slot);
    const double length = std::sqrt(dot(vector, vector));
    if (vector.size() != sum_.size() || length <= 0) continue;
    for (std::size_t i = 0; i < sum_.size(); ++i) sum_[i] += double{vector[i]} / length;
    ++count_;
  }
}

std::optional<double> Background::similarity(const IndexSnapshot& snapshot,
                                             std::span<const float> query) const {
  added_up_.call([&] { add_up(snapshot); });
  const double length = std::sqrt(dot(query, query));
  if (count_ < kSmallest / 2 || query.size() != sum_.size() || length <= 0) return std::nullopt;
  double cosines = 0;
  for (std::size_t i = 0; i < sum_.size(); ++i) cosines += sum_[i] * double{query[i]};
  return cosines / length / static_cast<double>(count_);
}

}  // namespace nearlite
