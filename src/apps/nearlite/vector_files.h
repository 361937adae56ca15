#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "nearlite/embeddable/transfer.h"

namespace nearlite::cli {

/// Writes vectors to one file (docs/formats/vector-exchange.md); nothing stays of it unless
/// finish() was reached.
class VectorFileWriter {
 public:
  virtual ~VectorFileWriter() = default;
  virtual void begin_store(const std::string& store, const std::string& model) = 0;
  virtual void add(const TransferRecord& record) = 0;
  virtual void finish() = 0;
};

/// format: "jsonl", "npy" (one store only; keys go to NAME.keys.jsonl) or "sqlite" (the tables of
/// the tool llm). Throws InvalidArgument if the sqlite file exists.
std::unique_ptr<VectorFileWriter> open_vector_writer(const std::string& format,
                                                     const std::filesystem::path& file);

/// Reads what was written, or what others wrote in these forms: "jsonl" or "npy". Throws
/// CorruptData with the line, or what is wrong with the npy header.
TransferSource open_vector_reader(const std::string& format, const std::filesystem::path& file);

/// "vectors.npy" -> "vectors.keys.jsonl"
std::filesystem::path keys_file_of(const std::filesystem::path& npy);

}  // namespace nearlite::cli
