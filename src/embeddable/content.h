#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/embeddable/embeddable_db_mixin.h"

namespace nearlite {

/// What there is to embed in a record.
struct Content {
  enum class Kind {
    kText,     // text is to be encoded
    kVector,   // a vector of the store's own
    kEmpty,    // NULL or blank
    kSkipped,  // can never be embedded; see reason
    kFailed,   // a hook threw; it may work later
  };
  Kind kind = Kind::kEmpty;
  std::string text;
  std::vector<float> vector;
  std::uint64_t hash = 0;  // of the text, or of the vector's bytes: equal hash, nothing to do
  std::string reason;
};

/// Asks the hooks of `db` what a record holds. Throws nothing of theirs. A text whose hash is
/// *embedded is known to be one that can be.
Content content_of(const EmbeddableDBMixin& db, const Record& record,
                   const std::uint64_t* embedded = nullptr);

/// The model identity of a store with vectors of its own.
std::string own_identity(std::size_t dim);
bool is_own_identity(std::string_view identity);

/// The first value of last_updated, updated_at, timestamp, ... that is not empty; else "".
std::string last_updated_of(const Record& record);

/// 64 bits that tell one record key from another.
std::uint64_t hash_of_key(std::string_view table, std::string_view json);

}  // namespace nearlite
