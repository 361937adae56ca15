#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace nearlite {

/// What a companion JSON of the original system says of one record.
struct OriginalEntry {
  std::string kind;
  std::string source_id;
  std::string created_at;    // as written there: ISO 8601 without a zone
  std::string last_updated;  // "": none was found
  std::optional<std::int64_t> embedding_version;
  std::optional<std::int64_t> slot;  // position in id_map
  std::string fields = "{}";         // JSON object: the whole entry but for vector and record
  std::string record;                // JSON of the record as it was given; "": none
  std::vector<float> vector;         // empty: none, or not a list of finite numbers
};

struct OriginalFile {
  bool recognized = false;                       // has the original's id_map or metadata
  bool ours = false;                             // a companion JSON that nearlite wrote
  std::map<std::string, OriginalEntry> entries;  // by record id
  std::size_t dim = 0;                           // vector_dim; 0: not said
  std::string damage;  // "": whole; else what broke off the reading, and where
};

/// Reads the JSON that the original wrote: {"id_map", "metadata", "vector_dim",
/// "last_vectorization"}. id_map is a list of ids (position = slot) or an object (id to slot, or
/// slot to id); ids without an entry are entries without fields. Also takes what Python's json
/// writes and JSON forbids (NaN, Infinity): such a vector is unusable. What stands before a damaged
/// place is returned with `damage` set. Memory: the file, plus the vectors. Throws NotFound,
/// Unavailable, or CorruptData for a file over 2 GiB or one that is no regular file.
OriginalFile read_original(const std::filesystem::path& file);

}  // namespace nearlite
