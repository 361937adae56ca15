// What is fuzzed of index files and stored vectors: whatever bytes come in, they are refused with
// an error of ours, or searched to an end.
#pragma once

#include <string_view>

namespace nearlite::fuzz {

/// The bytes as a segment or a graph (by their magic), as they are and with checksums that fit
/// them.
void block_file(std::string_view bytes);
/// Dimension and number of items in the first two bytes, an Annoy file behind them.
void annoy_file(std::string_view bytes);
/// The same with a FAISS file. Does nothing where there is no FAISS plugin.
void faiss_file(std::string_view bytes);
/// The bytes as the original's companion JSON.
void original_json(std::string_view bytes);
/// The bytes in the place of a vector in a sidecar; the first one says whether the checksum fits.
void vector_blob(std::string_view bytes);

}  // namespace nearlite::fuzz
