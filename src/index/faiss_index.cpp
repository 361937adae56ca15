#include "nearlite/index/faiss_index.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <exception>
#include <string>
#include <utility>

#include "collector.h"
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
  ~Handle() { api_.destroy(index_); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  void* get() const noexcept { return index_; }

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

template <typename T>
T read_at(std::span<const std::byte> bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

/// A flat inner-product file is: "IxFI", d int32, ntotal int64, two int64 of no meaning, is_trained
/// byte, metric int32 (0), number of floats uint64, the floats. FAISS itself believes every count
/// in it, so all are checked here.
void check_header(const std::filesystem::path& file, std::span<const std::byte> bytes,
                  std::size_t dim, std::size_t rows) {
  constexpr std::size_t kHeaderBytes = 45;
  const auto fail = [&](const std::string& what) {
    throw CorruptData(file.string() + ": " + what,
                      "the file is derived: delete it and it is rebuilt from the sidecar");
  };
  if (bytes.empty()) fail("index file is empty");
  if (bytes.size() < 4 || std::memcmp(bytes.data(), "IxFI", 4) != 0) {
    fail("not a FAISS flat inner-product index: it does not start with IxFI");
  }
  if (bytes.size() < kHeaderBytes)
    fail("FAISS file is cut off: " + std::to_string(bytes.size()) + " bytes");
  const auto found_dim = read_at<std::int32_t>(bytes, 4);
  const auto found_rows = read_at<std::int64_t>(bytes, 8);
  if (found_dim < 0 || static_cast<std::size_t>(found_dim) != dim) {
    fail("FAISS file has " + std::to_string(found_dim) + " dimensions, expected " +
         std::to_string(dim));
  }
  if (found_rows < 0 || static_cast<std::size_t>(found_rows) != rows) {
    fail("FAISS file has " + std::to_string(found_rows) + " vectors, expected " +
         std::to_string(rows));
  }
  if (read_at<std::uint8_t>(bytes, 32) != 1 || read_at<std::int32_t>(bytes, 33) != 0) {
    fail("FAISS file is not of the inner-product metric");
  }
  // Neither product can overflow: rows is the size of a list in memory and dim at most 65536.
  if (read_at<std::uint64_t>(bytes, 37) != rows * dim ||
      bytes.size() != kHeaderBytes + rows * dim * sizeof(float)) {
    fail("FAISS file has " + std::to_string(bytes.size()) + " bytes, its header asks for " +
         std::to_string(kHeaderBytes + rows * dim * sizeof(float)));
  }
}

}  // namespace

void build_faiss(const FaissPlugin& plugin, AtomicFile& file, const VectorRows& rows) {
  check_rows(rows);
  const NearliteFaissApi& api = plugin.api();
  ErrorText error{};
  const auto check = [&](bool done) {
    if (!done) throw Unavailable(std::string("FAISS cannot build an index: ") + error.data());
  };
  void* created = api.create(static_cast<int>(rows.dim), error.data(), error.size());
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
                                                   std::size_t dim, std::vector<VectorId> ids) {
  return std::shared_ptr<const FaissIndex>(
      new FaissIndex(std::move(plugin), file, dim, std::move(ids)));
}

FaissIndex::FaissIndex(std::shared_ptr<const FaissPlugin> plugin, const std::filesystem::path& file,
                       std::size_t dim, std::vector<VectorId> ids)
    : plugin_(std::move(plugin)), dim_(dim), ids_(std::move(ids)) {
  if (dim_ == 0 || dim_ > 65'536) {
    throw InvalidArgument("index of " + std::to_string(dim_) +
                          " dimensions, 1 to 65536 are possible");
  }
  const MappedFile mapped(file);
  check_header(file, mapped.bytes(), dim_, ids_.size());
  const NearliteFaissApi& api = plugin_->api();
  ErrorText error{};
  handle_ = api.read(mapped.bytes().data(), mapped.bytes().size(), error.data(), error.size());
  if (handle_ == nullptr)
    throw CorruptData(file.string() + ": FAISS refuses the file: " + error.data());
  vectors_ = api.vectors(handle_);
  norms_.resize(ids_.size());
  for (std::size_t i = 0; i < norms_.size(); ++i) {
    norms_[i] = vector_norm({vectors_ + i * dim_, dim_});
    if (!std::isfinite(norms_[i])) {
      api.destroy(handle_);
      throw CorruptData(file.string() + ": vector " + std::to_string(i) +
                        " of the FAISS file is not finite");
    }
  }
}

FaissIndex::~FaissIndex() { plugin_->api().destroy(handle_); }

SearchResult FaissIndex::search(std::span<const float> query, const SearchParams& params) const {
  const std::vector<float> unit = unit_query(query, dim_, params);
  std::vector<std::uint8_t> allowed((ids_.size() + 7) / 8);
  std::size_t num_allowed = 0;
  for (std::size_t i = 0; i < ids_.size(); ++i) {
    if (norms_[i] == 0 || (params.filter && !params.filter(ids_[i]))) continue;
    allowed[i / 8] = static_cast<std::uint8_t>(allowed[i / 8] | (1U << (i % 8)));
    ++num_allowed;
  }
  const bool all = num_allowed == ids_.size();
  // FAISS rounds in another order and breaks ties as it likes. So it is asked for more than k,
  // until nothing that it left out can belong to the k best: each sum differs from ours by at most
  // dim roundings on either side.
  const float error_bound = static_cast<float>(dim_ + 16) * 1.2e-7F;
  std::size_t ask = std::min(num_allowed, params.k > num_allowed ? num_allowed : params.k + 16);
  while (true) {
    std::vector<float> products(ask);
    std::vector<std::int64_t> slots(ask);
    ErrorText error{};
    const NearliteFaissApi& api = plugin_->api();
    if (ask > 0 && api.search(handle_, unit.data(), static_cast<std::int64_t>(ask),
                              all ? nullptr : allowed.data(), allowed.size(), products.data(),
                              slots.data(), error.data(), error.size()) == 0) {
      throw Unavailable(std::string("FAISS cannot search: ") + error.data());
    }
    Collector collector(SearchParams{.k = params.k});
    for (const std::int64_t slot : slots) {
      if (slot < 0 || static_cast<std::size_t>(slot) >= ids_.size()) continue;
      const auto i = static_cast<std::size_t>(slot);
      collector.offer(similarity_of(unit, vectors_ + i * dim_, norms_[i]), ids_[i]);
    }
    if (ask == num_allowed || collector.floor() > products.back() + error_bound) {
      collector.count_scored(num_allowed);
      SearchResult result = collector.finish();
      result.path = "faiss";
      return result;
    }
    ask = std::min(num_allowed, ask * 4);
  }
}

std::optional<double> FaissIndex::estimated_us(const SearchParams& /*params*/) const {
  std::call_once(timed_, [this] {
    const std::vector<float> query(dim_, 1.0F);
    const ThreadStopwatch watch;
    search(query, {});
    cost_us_ = watch.elapsed_us();
  });
  return cost_us_;
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
