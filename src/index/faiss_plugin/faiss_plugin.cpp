// libnearlite_faiss.so: everything of FAISS, OpenMP and BLAS that nearlite touches.
#include "faiss_plugin.h"

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/impl/io.h>
#include <faiss/index_io.h>
#include <omp.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <stdexcept>

// Only OpenBLAS has it; another BLAS leaves it null.
extern "C" void openblas_set_num_threads(int count) __attribute__((weak));

namespace {

/// FAISS starts a team of threads per call, and each spins while it waits: on a busy machine that
/// costs more than it gains. The setting belongs to the calling thread, so every entry makes it.
void use_one_thread() {
  omp_set_num_threads(1);
  if (openblas_set_num_threads != nullptr) openblas_set_num_threads(1);
}

void report(char* error, std::size_t error_size, const char* text) noexcept {
  if (error_size > 0) std::snprintf(error, error_size, "%s", text);
}

template <typename Work>
auto guarded(char* error, std::size_t error_size, Work work) noexcept -> decltype(work()) {
  try {
    use_one_thread();
    return work();
  } catch (const std::exception& failure) {
    report(error, error_size, failure.what());
  } catch (...) {
    report(error, error_size, "unknown failure");
  }
  return {};
}

const faiss::Index& index_of(const void* index) { return *static_cast<const faiss::Index*>(index); }

/// The vectors of an index of either kind, or null.
const faiss::IndexFlat* flat_of(const faiss::Index& index) {
  if (const auto* graph = dynamic_cast<const faiss::IndexHNSWFlat*>(&index))
    return dynamic_cast<const faiss::IndexFlat*>(graph->storage);
  return dynamic_cast<const faiss::IndexFlat*>(&index);
}

struct SinkWriter : faiss::IOWriter {
  SinkWriter(NearliteFaissSink to, void* with) : sink(to), context(with) {}
  std::size_t operator()(const void* bytes, std::size_t size, std::size_t count) override {
    return sink(context, bytes, size * count) != 0 ? count : 0;
  }
  NearliteFaissSink sink;
  void* context;
};

struct BytesReader : faiss::IOReader {
  BytesReader(const void* bytes, std::size_t size)
      : at(static_cast<const char*>(bytes)), left(size) {}
  std::size_t operator()(void* to, std::size_t size, std::size_t count) override {
    if (size == 0 || count == 0) return count;
    const std::size_t whole = std::min(count, left / size);
    std::memcpy(to, at, whole * size);
    at += whole * size;
    left -= whole * size;
    return whole;
  }
  const char* at;
  std::size_t left;
};

void* create(int dim, int links, int ef_construction, char* error, std::size_t error_size) {
  return guarded(error, error_size, [&]() -> void* {
    std::unique_ptr<faiss::Index> index;
    if (links == 0) {
      index = std::make_unique<faiss::IndexFlatIP>(dim);
    } else {
      auto graph = std::make_unique<faiss::IndexHNSWFlat>(dim, links, faiss::METRIC_INNER_PRODUCT);
      graph->hnsw.efConstruction = ef_construction;
      index = std::move(graph);
    }
    return index.release();
  });
}

int add(void* index, const float* rows, std::int64_t count, char* error, std::size_t error_size) {
  return guarded(error, error_size, [&] {
    static_cast<faiss::Index*>(index)->add(count, rows);
    return 1;
  });
}

int write(const void* index, NearliteFaissSink sink, void* context, char* error,
          std::size_t error_size) {
  return guarded(error, error_size, [&] {
    SinkWriter writer(sink, context);
    faiss::write_index(&index_of(index), &writer);
    return 1;
  });
}

void* read(const void* bytes, std::size_t size, char* error, std::size_t error_size) {
  return guarded(error, error_size, [&]() -> void* {
    BytesReader reader(bytes, size);
    std::unique_ptr<faiss::Index> index(faiss::read_index(&reader));
    if (flat_of(*index) == nullptr || index->metric_type != faiss::METRIC_INNER_PRODUCT)
      throw std::runtime_error("neither a flat nor an HNSW index of the inner product");
    return index.release();
  });
}

std::int64_t size_of(const void* index) { return index_of(index).ntotal; }
int dim_of(const void* index) { return index_of(index).d; }
const float* vectors_of(const void* index) { return flat_of(index_of(index))->get_xb(); }

int search(const void* index, const float* query, std::int64_t k, const std::uint8_t* allowed,
           std::size_t allowed_bytes, int ef_search, float* products, std::int64_t* slots,
           char* error, std::size_t error_size) {
  return guarded(error, error_size, [&] {
    const faiss::IDSelectorBitmap selector(allowed_bytes, allowed);
    const bool is_graph = dynamic_cast<const faiss::IndexHNSWFlat*>(&index_of(index)) != nullptr;
    faiss::SearchParametersHNSW of_graph;
    faiss::SearchParameters of_flat;
    of_graph.efSearch = ef_search;
    faiss::SearchParameters& params = is_graph ? of_graph : of_flat;
    if (allowed != nullptr) params.sel = const_cast<faiss::IDSelectorBitmap*>(&selector);
    index_of(index).search(1, query, k, products, slots, &params);
    return 1;
  });
}

void destroy(void* index) { delete static_cast<faiss::Index*>(index); }

#define NEARLITE_TEXT_OF(value) #value
#define NEARLITE_TEXT(value) NEARLITE_TEXT_OF(value)
constexpr NearliteFaissApi kApi{kNearliteFaissAbi,
                                NEARLITE_TEXT(FAISS_VERSION_MAJOR) "." NEARLITE_TEXT(
                                    FAISS_VERSION_MINOR) "." NEARLITE_TEXT(FAISS_VERSION_PATCH),
                                create,
                                add,
                                write,
                                read,
                                size_of,
                                dim_of,
                                vectors_of,
                                search,
                                destroy};

}  // namespace

extern "C" __attribute__((visibility("default"))) const NearliteFaissApi* nearlite_faiss_api() {
  return &kApi;
}
