#include "nearlite/index/faiss_index.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>
#include <string>
#include <utility>

#include "calibrate.h"
#include "collector.h"
#include "faiss_format.h"
#include "faiss_plugin_loader.h"
#include "nearlite/base/error.h"
#include "nearlite/index/flat_index.h"
#include "thread_clock.h"

namespace nearlite {
namespace {

using ErrorText = std::array<char, 512>;

class Handle {
 public:
  Handle(const NearliteFaissApi& api, void* index) : api_(api), index_(index) {}
  ~Handle() {
    if (index_ != nullptr) api_.destroy(index_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  void* get() const noexcept { return index_; }
  void* release() noexcept { return std::exchange(index_, nullptr); }

 private:
  const NearliteFaissApi& api_;
  void* index_;
};

/// Where FAISS's bytes go; an exception waits until FAISS has returned.
struct Sink {
  AtomicFile& file;
  std::exception_ptr failure = nullptr;

  static int write(void* context, const void* bytes, std::size_t size) noexcept {
    auto& sink = *static_cast<Sink*>(context);
    try {
      sink.file.write(std::span(static_cast<const std::byte*>(bytes), size));
      return 1;
    } catch (...) {
      sink.failure = std::current_exception();
      return 0;
    }
  }
};

/// A copy of the file: what is proven of it stays true while FAISS reads, whoever writes to the
/// file.
std::vector<std::byte> bytes_of_file(const std::filesystem::path& file) {
  const MappedFile mapped(file);
  std::vector<std::byte> bytes(mapped.bytes().size());
  mapped.copy(0, bytes);
  return bytes;
}

/// efSearch values that are tried.
constexpr std::array<std::size_t, 8> kEfforts{16, 32, 64, 128, 256, 512, 1024, 2048};

}  // namespace

void build_faiss(const FaissPlugin& plugin, AtomicFile& file, const VectorRows& rows,
                 const FaissParams& params) {
  check_rows(rows);
  const NearliteFaissApi& api = plugin.api();
  ErrorText error{};
  const auto check = [&](bool done) {
    if (!done) throw Unavailable(std::string("FAISS cannot build an index: ") + error.data());
  };
  const int links = rows.ids.size() >= params.hnsw_from ? params.links : 0;
  void* created = api.create(static_cast<int>(rows.dim), links, params.ef_construction,
                             error.data(), error.size());
  check(created != nullptr);
  const Handle index(api, created);
  constexpr std::size_t kChunk = 1024;  // rows scaled at a time
  std::vector<float> unit;
  for (std::size_t at = 0; at < rows.ids.size(); at += kChunk) {
    const std::size_t count = std::min(kChunk, rows.ids.size() - at);
    unit.assign(rows.row(at).data(), rows.row(at).data() + count * rows.dim);
    for (std::size_t i = 0; i < count; ++i) {
      const float norm = vector_norm(rows.row(at + i));
      if (norm == 0) continue;
      for (std::size_t j = 0; j < rows.dim; ++j) unit[i * rows.dim + j] /= norm;
    }
    check(api.add(index.get(), unit.data(), static_cast<std::int64_t>(count), error.data(),
                  error.size()) != 0);
  }
  Sink sink{file};
  const bool written = api.write(index.get(), Sink::write, &sink, error.data(), error.size()) != 0;
  if (sink.failure) std::rethrow_exception(sink.failure);
  check(written);
}

std::shared_ptr<const FaissIndex> FaissIndex::open(std::shared_ptr<const FaissPlugin> plugin,
                                                   const std::filesystem::path& file,
                                                   std::size_t dim, std::vector<VectorId> ids,
                                                   Calibration calibration) {
  if (dim == 0 || dim > 65'536) {
    throw InvalidArgument("index of " + std::to_string(dim) +
                          " dimensions, 1 to 65536 are possible");
  }
  const std::vector<std::byte> bytes = bytes_of_file(file);
  const FaissLayout layout = check_faiss_file(file, bytes);
  const auto expect = [&](std::size_t found, std::size_t wanted, const char* what) {
    if (found == wanted) return;
    throw CorruptData(file.string() + ": FAISS file has " + std::to_string(found) + " " + what +
                          ", expected " + std::to_string(wanted),
                      "the file is derived: delete it and it is rebuilt from the sidecar");
  };
  expect(layout.dim, dim, "dimensions");
  expect(layout.rows, ids.size(), "vectors");
  return std::shared_ptr<const FaissIndex>(
      new FaissIndex(std::move(plugin), file, layout, std::move(ids), std::move(calibration)));
}

std::shared_ptr<const FaissIndex> FaissIndex::open(std::shared_ptr<const FaissPlugin> plugin,
                                                   const std::filesystem::path& file) {
  const std::vector<std::byte> bytes = bytes_of_file(file);
  const FaissLayout layout = check_faiss_file(file, bytes);
  std::vector<VectorId> ids(layout.rows);
  for (std::size_t i = 0; i < ids.size(); ++i)
    ids[i] = VectorId{layout.ids.empty() ? static_cast<std::int64_t>(i) : layout.ids[i]};
  return std::shared_ptr<const FaissIndex>(
      new FaissIndex(std::move(plugin), file, layout, std::move(ids), {}));
}

FaissIndex::FaissIndex(std::shared_ptr<const FaissPlugin> plugin, const std::filesystem::path& file,
                       const FaissLayout& layout, std::vector<VectorId> ids,
                       Calibration calibration)
    : plugin_(std::move(plugin)),
      dim_(layout.dim),
      ids_(std::move(ids)),
      is_graph_(layout.kind == FaissLayout::Kind::kHnsw),
      file_bytes_(layout.index.size()),
      calibration_(std::move(calibration)) {
  const NearliteFaissApi& api = plugin_->api();
  ErrorText error{};
  Handle handle(api,
                api.read(layout.index.data(), layout.index.size(), error.data(), error.size()));
  if (handle.get() == nullptr)
    throw CorruptData(file.string() + ": FAISS refuses the file: " + error.data());
  vectors_ = api.vectors(handle.get());
  norms_.resize(ids_.size());
  for (std::size_t i = 0; i < norms_.size(); ++i) {
    norms_[i] = vector_norm({vectors_ + i * dim_, dim_});
    has_zeros_ = has_zeros_ || norms_[i] == 0;
    if (!std::isfinite(norms_[i])) {
      throw CorruptData(file.string() + ": vector " + std::to_string(i) +
                        " of the FAISS file is of no finite length");
    }
  }
  handle_ = handle.release();
}

FaissIndex::~FaissIndex() { plugin_->api().destroy(handle_); }

std::uint64_t FaissIndex::memory_bytes() const noexcept {
  return file_bytes_ + ids_.size() * (sizeof(VectorId) + sizeof(float));
}

/// Which slots a search may return.
struct FaissIndex::Allowed {
  std::vector<std::uint8_t> bits;  // empty: all
  std::size_t count = 0;
};

FaissIndex::Allowed FaissIndex::allowed_by(const SearchParams& params) const {
  Allowed allowed{.bits = {}, .count = ids_.size()};
  if (!has_zeros_ && !params.filter && !params.among) return allowed;
  const Collector filter(params);
  allowed.bits.resize((ids_.size() + 7) / 8);
  allowed.count = 0;
  for (std::size_t i = 0; i < ids_.size(); ++i) {
    if (norms_[i] == 0 || !filter.accepts(ids_[i])) continue;
    allowed.bits[i / 8] = static_cast<std::uint8_t>(allowed.bits[i / 8] | (1U << (i % 8)));
    ++allowed.count;
  }
  return allowed;
}

bool FaissIndex::offer_best(std::span<const float> unit_query, const Allowed& allowed,
                            std::size_t count, std::size_t effort, Collector& collector) const {
  if (count == 0) return true;
  std::vector<float> products(count);
  std::vector<std::int64_t> slots(count);
  ErrorText error{};
  if (plugin_->api().search(handle_, unit_query.data(), static_cast<std::int64_t>(count),
                            allowed.bits.empty() ? nullptr : allowed.bits.data(),
                            allowed.bits.size(), static_cast<int>(effort), products.data(),
                            slots.data(), error.data(), error.size()) == 0) {
    throw Unavailable(std::string("FAISS cannot search: ") + error.data());
  }
  for (const std::int64_t slot : slots) {
    if (slot < 0 || static_cast<std::size_t>(slot) >= ids_.size()) continue;
    const auto i = static_cast<std::size_t>(slot);
    collector.offer(similarity_of(unit_query, vectors_ + i * dim_, norms_[i]), ids_[i]);
  }
  // FAISS rounds in another order and breaks ties as it likes; each sum differs from ours by at
  // most dim roundings on either side.
  const float error_bound = static_cast<float>(dim_ + 16) * 1.2e-7F;
  return count == allowed.count || collector.floor() > products.back() + error_bound;
}

SearchResult FaissIndex::search_flat(std::span<const float> unit_query,
                                     const SearchParams& params) const {
  const Allowed allowed = allowed_by(params);
  // More than k are asked for until nothing that was left out can belong to the k best.
  std::size_t ask = std::min(allowed.count, params.k > allowed.count ? params.k : params.k + 16);
  while (true) {
    Collector collector(params);
    if (offer_best(unit_query, allowed, ask, 0, collector)) {
      collector.count_scored(allowed.count);
      SearchResult result = collector.finish();
      result.path = "faiss";
      return result;
    }
    ask = std::min(allowed.count, ask * 4);
  }
}

SearchResult FaissIndex::scan(std::span<const float> unit_query, const SearchParams& params) const {
  Collector collector(params);
  scan_rows(unit_query, vectors_, dim_, norms_, ids_, collector);
  return collector.finish();
}

SearchResult FaissIndex::search_with_effort(std::span<const float> query,
                                            const SearchParams& params, std::size_t effort) const {
  const std::vector<float> unit = unit_query(query, dim_, params);
  if (!is_graph_) return search_flat(unit, params);
  const Allowed allowed = allowed_by(params);
  // A few more than k, since equal ones come in FAISS's order.
  const std::size_t ask = std::min(allowed.count, std::max(params.k, params.k + 8));
  Collector collector(params);
  constexpr std::size_t kMostEffort = std::size_t{1} << 30;
  offer_best(unit, allowed, ask, std::min(std::max(effort, ask), kMostEffort), collector);
  if (collector.found() < std::min(params.k, allowed.count)) return scan(unit, params);
  collector.count_scored(std::max(effort, ask));  // FAISS does not say how many it looked at
  SearchResult result = collector.finish();
  result.path = "faiss";
  result.recall = 0.0;  // nobody measured what this effort reaches
  return result;
}

SearchResult FaissIndex::search(std::span<const float> query, const SearchParams& params) const {
  const std::vector<float> unit = unit_query(query, dim_, params);
  if (!is_graph_) return search_flat(unit, params);
  const auto most = static_cast<double>(ids_.size());
  const std::optional<Effort> effort = effort_for(calibration(), params, ids_, most);
  if (!effort) return scan(unit, params);
  SearchResult result = search_with_effort(query, params, effort->search_k);
  if (result.path == "faiss") result.recall = effort->recall_low;
  return result;
}

const Calibration& FaissIndex::calibration(const AskedQuestions& asked) const {
  measured_.call([&] {
    if (!is_graph_) {
      const std::vector<float> query(dim_, 1.0F);
      const ThreadStopwatch watch;
      search(query, {});
      flat_us_ = watch.elapsed_us();
    } else if (calibration_.empty()) {
      calibration_ = measure_calibration(
          {vectors_, dim_, dim_, norms_, ids_}, kEfforts,
          [this](std::span<const float> query, const SearchParams& params, std::size_t effort) {
            return search_with_effort(query, params, effort);
          },
          asked);
    }
  });
  return calibration_;
}

std::optional<double> FaissIndex::estimated_us(const SearchParams& params) const {
  if (!is_graph_) {
    calibration();
    return flat_us_;
  }
  const auto effort = effort_for(calibration(), params, ids_, static_cast<double>(ids_.size()));
  if (!effort) return std::nullopt;
  return effort->microseconds;
}

void FaissIndex::save(const std::filesystem::path& file) const {
  AtomicFile copy(file);
  Sink sink{copy};
  ErrorText error{};
  const bool written =
      plugin_->api().write(handle_, Sink::write, &sink, error.data(), error.size()) != 0;
  if (sink.failure) std::rethrow_exception(sink.failure);
  if (!written) throw Unavailable(std::string("FAISS cannot write its index: ") + error.data());
  copy.commit();
}

}  // namespace nearlite
