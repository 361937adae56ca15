#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nearlite/base/once.h"
#include "nearlite/index/snapshot.h"
#include "nearlite/store/sidecar.h"

namespace nearlite {

/// A sample of a store's vectors, for judging similarities: what is ordinary in this store.
class Background {
 public:
  /// fact: as Background::fact() gives it.
  explicit Background(std::string fact) : fact_(std::move(fact)) {}

  /// Takes the sample anew when the model changed, a fifth of the records came or went, or it has
  /// died away. Belongs into a write transaction. Small stores have none.
  static void refresh(Sidecar& sidecar, const std::string& store);
  /// What the sidecar holds of it; "" if there is none.
  static std::string fact(Sidecar& sidecar, const std::string& store);
  const std::string& fact() const noexcept { return fact_; }

  /// The mean cosine of the query with the vectors of the sample that are live in the snapshot,
  /// which is the same one with every call; nothing if they are too few. Thread-safe.
  std::optional<double> similarity(const IndexSnapshot& snapshot,
                                   std::span<const float> query) const;

 private:
  void add_up(const IndexSnapshot& snapshot) const;

  std::string fact_;
  mutable Once added_up_;
  mutable std::vector<double> sum_;  // of the vectors, each of length 1
  mutable std::size_t count_ = 0;
};

}  // namespace nearlite
