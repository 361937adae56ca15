#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "nearlite/base/files.h"
#include "nearlite/encoder/text_encoder.h"
#include "nearlite/model/transformer.h"
#include "sentence_modules.h"
#include "static_embedding.h"

namespace nearlite {

struct NormalizeConfig {};

/// What the small files of a sentence-transformers folder say, checked; no weight has been read.
struct ModelFolder {
  ModelInfo info;
  std::optional<StaticConfig> table;  // instead of transformer and pooling
  TransformerConfig transformer;
  std::filesystem::path transformer_folder;
  std::filesystem::path tokenizer_file;  // tokenizer.json or vocab.txt
  bool tokenizer_is_vocabulary = false;
  bool tokenizer_lower_case = false;
  PoolingConfig pooling;
  std::vector<std::variant<DenseConfig, LayerNormConfig, NormalizeConfig>>
      after_pooling;  // in order of execution
  /// Every file that the vectors depend on, with the stamp under which its digest went into the
  /// identity.
  std::vector<std::pair<std::filesystem::path, FileStamp>> stamps;
};

/// Reads modules.json and what it names. `name` is what the caller asked for; digests of large
/// files are kept in `digest_cache` (see digests.h). Throws NotFound that lists the files needed,
/// or CorruptData, also for what is not supported,
/// by its name.
ModelFolder read_model_folder(const std::filesystem::path& folder, const std::string& name,
                              const std::filesystem::path& digest_cache, Precision precision);

/// Throws Unavailable if a file was changed since its digest was taken: its vectors would not be
/// those of the identity.
void require_unchanged(const ModelFolder& folder);

}  // namespace nearlite
