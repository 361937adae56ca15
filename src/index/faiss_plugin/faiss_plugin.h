#pragma once

// The C interface between nearlite and libnearlite_faiss.so: no C++ type and no exception crosses
// it, so the two may be built by different compilers.

#include <cstddef>
#include <cstdint>

extern "C" {

/// Takes bytes; 0 stops the writing.
using NearliteFaissSink = int (*)(void* context, const void* bytes, std::size_t size);

/// Functions that can fail return 0 (or null) and put a text into error[error_size]. An index is a
/// flat one or an HNSW graph over flat vectors, of the inner product.
struct NearliteFaissApi {
  std::uint32_t abi;    // kNearliteFaissAbi, changed with every change here
  const char* version;  // of FAISS
  /// An empty index: flat if links is 0, else a graph with so many links per row and level.
  void* (*create)(int dim, int links, int ef_construction, char* error, std::size_t error_size);
  /// Appends rows [count, dim].
  int (*add)(void* index, const float* rows, std::int64_t count, char* error,
             std::size_t error_size);
  int (*write)(const void* index, NearliteFaissSink sink, void* context, char* error,
               std::size_t error_size);
  /// From the bytes of its file, which somebody has proven safe; anything else is an error.
  void* (*read)(const void* bytes, std::size_t size, char* error, std::size_t error_size);
  std::int64_t (*size)(const void* index);
  int (*dim)(const void* index);
  /// [size, dim], owned by the index.
  const float* (*vectors)(const void* index);
  /// The k largest products, largest first; slot -1: no more. allowed: one bit per slot, or null
  /// for all; ef_search: of a graph. May be called from several threads.
  int (*search)(const void* index, const float* query, std::int64_t k, const std::uint8_t* allowed,
                std::size_t allowed_bytes, int ef_search, float* products, std::int64_t* slots,
                char* error, std::size_t error_size);
  void (*destroy)(void* index);
};

inline constexpr std::uint32_t kNearliteFaissAbi = 2;

/// The one symbol that the library exports.
inline constexpr const char* kNearliteFaissSymbol = "nearlite_faiss_api";
using NearliteFaissEntry = const NearliteFaissApi* (*)();

}  // extern "C"
