#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "nearlite/embeddable/record.h"

namespace nearlite {

/// The vectors of one record on their way out of a store or into one.
struct TransferRecord {
  struct Passage {
    std::size_t begin = 0;  // bytes of the text that was embedded
    std::size_t end = 0;
  };
  RecordKey key{};
  std::string model{};          // as it was asked for
  std::string identity{};       // ModelGeneration::identity; "own-DIM": vectors of the store's own
  std::uint64_t text_hash = 0;  // XXH3 of the text that was embedded; 0: not known
  std::string embedded_at{};    // RFC 3339; "": not known
  std::vector<Passage> passages{};  // as many as vectors; empty on the way in: not known
  std::vector<float> vectors{};     // [number of passages, dim]
  std::size_t dim = 0;
};

struct ImportResult {
  struct Refused {
    std::string key{};  // as in the file
    std::string reason{};
  };
  std::size_t taken = 0;
  std::size_t metadata = 0;  // records whose metadata alone was taken
  std::size_t refused = 0;
  std::vector<Refused> refusals{};  // at most 1,000
  std::vector<std::string> notes{};
};

/// Gives the next record; false at the end.
using TransferSource = std::function<bool(TransferRecord&)>;

}  // namespace nearlite
