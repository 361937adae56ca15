#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "pre_tokenizers.h"
#include "subword_model.h"
#include "text_normalizers.h"
#include "tokenizer_json_values.h"

namespace nearlite {

/// The normalizers of a tokenizer.json in order; sequences are flattened, null is none.
struct NormalizerList {
  std::vector<std::unique_ptr<const TextNormalizer>> steps;
  std::vector<std::string> names;
  std::optional<NormalizerOptions> bert;  // if there is nothing but a BertNormalizer
  bool lower_cases = false;
};
NormalizerList read_normalizers(const JsonValues& values, const Json& normalizer);

struct PreTokenizerList {
  std::vector<std::unique_ptr<const PreTokenizer>> steps;
  std::vector<std::string> names;
  bool is_bert = false;  // there is nothing but a BertPreTokenizer
};
PreTokenizerList read_pre_tokenizers(const JsonValues& values, const Json& pre_tokenizer);

/// The ids of a text's special tokens, from the post-processors.
struct SpecialIds {
  std::vector<std::int32_t> before;
  std::vector<std::int32_t> behind;
  std::vector<std::string> names;
};
/// has_token: which ids some token has.
SpecialIds read_post_processors(const JsonValues& values, const Json& processor,
                                const std::vector<bool>& has_token);

}  // namespace nearlite
