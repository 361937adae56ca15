#include "cost_sample.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "damaged_rows.h"
#include "mixin_state.h"
#include "nearlite/base/clock.h"
#include "nearlite/encoder/language_fit.h"

namespace nearlite {
namespace {

constexpr std::size_t kSampledPassages = 128;
constexpr std::size_t kFewPassages = 8;
constexpr std::size_t kTextsForLanguage = 200;
// What a record costs beside the encoder, roughly: of the order of backfills of package
// descriptions.
constexpr double kStoreMsPerPassage = 0.15;
// The sidecar's tables, as `dbstat` shows them for 63,666 package descriptions: keys, hashes, times
// and their indexes per record; beside the vector itself per passage; the words and their text by
// bytes of text.
constexpr std::uint64_t kRecordBytes = 180;
constexpr std::uint64_t kVectorRowBytes = 55;
constexpr std::uint64_t kKeywordRowBytes = 12;
constexpr double kKeywordBytesPerByte = 1.55;
constexpr std::uint64_t kPageBytes = 4096;
constexpr std::uint64_t kPageHeadBytes = 8;
constexpr std::uint64_t kSegmentBytesPerRow = 24;
constexpr std::uint64_t kJsonBytesPerRecord = 210;
constexpr double kAnnoyTrees = 0.6;  // beside the vectors

/// What a vector takes in the sidecar: rows share a page, or each has pages of its own.
std::uint64_t bytes_of_row(std::size_t dim) {
  const std::uint64_t row = dim * sizeof(float) + kVectorRowBytes;
  const std::uint64_t room = kPageBytes - kPageHeadBytes;
  if (row <= room) return kPageBytes / (room / row);
  return (row + room - 1) / room * kPageBytes;
}

}  // namespace

void CostSample::add(const PendingRecord& record) {
  const std::string& text = embedded_text(record);
  for (const Passage& passage : record.passages) {
    if (seen_++ % every_ != 0) continue;
    texts_.push_back(text.substr(passage.begin, passage.end - passage.begin));
    if (texts_.size() < 2 * kSampledPassages) continue;
    // Every second one goes, and from now on only every second one comes.
    for (std::size_t i = 0; i < kSampledPassages; ++i) texts_[i] = std::move(texts_[2 * i]);
    texts_.resize(kSampledPassages);
    every_ *= 2;
  }
}

double CostSample::milliseconds(const TextCost& cost, const Embedder& embedder) const {
  if (texts_.empty() || cost.passages == 0) return 0;
  // A small table is not worth a long measurement.
  const std::size_t wanted =
      std::min({kSampledPassages, texts_.size(), std::max(kFewPassages, cost.passages / 8)});
  std::vector<std::string_view> texts;
  for (std::size_t i = 0; i < wanted; ++i) texts.push_back(texts_[i * texts_.size() / wanted]);
  embedder.encode(std::span(texts).first(1));  // loads the weights
  const Stopwatch watch;
  const EncodedBatch batch = embedder.encode(texts);
  const double ms_per_token = watch.elapsed_ms() / static_cast<double>(batch.num_tokens);
  return ms_per_token * static_cast<double>(cost.tokens) +
         kStoreMsPerPassage * static_cast<double>(cost.passages);
}

std::uint64_t bytes_on_disk(const TextCost& cost, std::size_t dim, Backend backend) {
  const std::uint64_t vectors = cost.passages * dim * sizeof(float);
  const auto words =
      static_cast<std::uint64_t>(static_cast<double>(cost.bytes) * kKeywordBytesPerByte) +
      cost.passages * kKeywordRowBytes;
  std::uint64_t bytes = cost.passages * bytes_of_row(dim) + cost.texts * kRecordBytes + words +
                        vectors + cost.passages * (dim + kSegmentBytesPerRow);
  if (backend != Backend::kAuto) {
    const double trees = backend == Backend::kAnnoy ? kAnnoyTrees : 0;
    bytes += static_cast<std::uint64_t>(static_cast<double>(vectors) * (1 + trees)) +
             cost.texts * kJsonBytesPerRecord;
  }
  return bytes;
}

CostEstimate EmbeddableDBMixin::estimate_cost(const CostOptions& options) const {
  const Embedder embedder(encoder(), *options_.gate, options.threads);
  const Stopwatch watch;
  CostEstimate estimate;
  CostSample sample;
  std::vector<std::string> languages;
  TextCost counted;
  std::size_t read = 0;
  std::size_t dim = 0;
  RecordCursor cursor = iter_records();
  try {
    estimate.rows = cursor.count();
  } catch (const CorruptData&) {
    estimate.rows = 0;  // a damaged page: as many as are read
  }
  const std::size_t every = estimate.rows / std::max<std::size_t>(options.max_texts, 1) + 1;
  SourceRecord source;
  const auto next = [&] {
    try {
      return cursor.next(source);
    } catch (const DamagedRows&) {
      return false;  // the run will name them
    }
  };
  while (next()) {
    if (read++ % every != 0) continue;
    PendingRecord record;
    record.content = content_of(*this, source.record);
    embedder.govern(record);
    if (record.state != RecordState::kEmbedded) continue;
    if (record.content.kind == Content::Kind::kVector) {
      dim = record.content.vector.size();
      counted += {1, 0, 1, 0};
      continue;
    }
    counted += embedder.cost_of(record);
    if (languages.size() < kTextsForLanguage) languages.push_back(embedded_text(record));
    if (options.measure) sample.add(record);
    if (watch.elapsed_ms() > static_cast<double>(options.max_time.count())) break;
  }
  estimate.exact = every == 1 && read >= estimate.rows;
  if (estimate.exact) estimate.rows = read;
  const std::uint64_t steps = (read + every - 1) / every;
  const auto looked_at = static_cast<double>(steps);
  const double scale =
      estimate.exact || read == 0 ? 1 : static_cast<double>(estimate.rows) / looked_at;
  const auto scaled = [&](std::size_t count) {
    return static_cast<std::size_t>(std::llround(static_cast<double>(count) * scale));
  };
  estimate.cost = {scaled(counted.texts), scaled(counted.longer), scaled(counted.passages),
                   scaled(counted.tokens), scaled(counted.bytes)};
  if (dim == 0 && counted.texts > 0) dim = encoder().info().dim;
  estimate.bytes = bytes_on_disk(estimate.cost, dim, options_.backend);
  const std::vector<std::string_view> views(languages.begin(), languages.end());
  if (!views.empty()) estimate.language_warning = language_fit(encoder(), views).warning;
  if (options.measure) estimate.milliseconds = sample.milliseconds(estimate.cost, embedder);
  return estimate;
}

}  // namespace nearlite
