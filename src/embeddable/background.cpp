#include "background.h"

#include <algorithm>
#include <cmath>
#include <sstream>

namespace nearlite {
namespace {

constexpr char kFact[] = "background";  // MODEL RECORDS SLOT SLOT ...
constexpr std::size_t kSample = 256;
constexpr std::size_t kSmallest = 50;  // records; of fewer, what is ordinary cannot be said
constexpr double kDrift = 0.2;

struct Background {
  std::int64_t model = 0;
  std::size_t records = 0;
  std::vector<std::int64_t> slots;
};

std::optional<Background> read(Sidecar& sidecar, const std::string& store) {
  const auto text = sidecar.fact(store, kFact);
  if (!text) return std::nullopt;
  Background background;
  std::istringstream in(*text);
  in >> background.model >> background.records;
  for (std::int64_t slot = 0; in >> slot;) background.slots.push_back(slot);
  return background;
}

bool still_fits(Sidecar& sidecar, const Background& background, std::int64_t model,
                std::size_t records) {
  const double was = static_cast<double>(background.records);
  if (background.model != model || std::abs(static_cast<double>(records) - was) > kDrift * was)
    return false;
  const auto live = std::ranges::count_if(
      background.slots, [&](std::int64_t slot) { return sidecar.find_slot(slot).has_value(); });
  return static_cast<double>(live) >= (1 - kDrift) * static_cast<double>(background.slots.size());
}

}  // namespace

void refresh_background(Sidecar& sidecar, const std::string& store) {
  const std::size_t records = sidecar.num_embedded(store);
  const std::int64_t model = std::stoll(sidecar.fact(store, "model").value_or("0"));
  if (records < kSmallest || model == 0) {
    sidecar.remove_fact(store, kFact);
    return;
  }
  const auto known = read(sidecar, store);
  if (known && still_fits(sidecar, *known, model, records)) return;
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

std::optional<double> background_similarity(VectorEngine& engine, const std::string& store,
                                            std::span<const float> query) {
  std::optional<Background> background;
  engine.read([&](Sidecar& sidecar) { background = read(sidecar, store); });
  if (!background) return std::nullopt;
  double sum = 0;
  std::size_t count = 0;
  for (const auto& similarity : engine.similarities(query, background->slots)) {
    if (!similarity) continue;
    sum += static_cast<double>(*similarity);
    ++count;
  }
  if (count < kSmallest / 2) return std::nullopt;
  return sum / static_cast<double>(count);
}

}  // namespace nearlite
