#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "added_tokens.h"
#include "nearlite/text/tokenizer.h"
#include "pre_tokenizers.h"
#include "subword_model.h"
#include "text_normalizers.h"

namespace nearlite {

/// All that makes up a tokenizer other than BERT's own, already checked by the reader of the file.
struct PipelineDefinition {
  std::vector<std::unique_ptr<const TextNormalizer>> normalizers;
  std::vector<std::unique_ptr<const PreTokenizer>> pre_tokenizers;
  std::unique_ptr<const SubwordModel> model;
  std::optional<std::int32_t> unknown_id;
  std::vector<AddedToken> added_tokens;
  std::vector<std::int32_t> ids_before;  // special tokens in front of every text
  std::vector<std::int32_t> ids_behind;
  std::size_t vocabulary_size = 0;
  TokenizerParts parts;
};

/// The steps of the reference one behind the other: cut added tokens out, normalize, cut normalized
/// added tokens out, split into words, and look the words up. Throws CorruptData if nothing remains
/// of an added token when it is normalized.
std::unique_ptr<const Tokenizer> make_pipeline_tokenizer(PipelineDefinition definition);

}  // namespace nearlite
