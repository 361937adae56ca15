#include <nlohmann/json.hpp>

#include "nearlite/base/files.h"
#include "targets.h"

namespace nearlite::fuzz {

Tokenizers all_tokenizers() {
  const auto goldens = nlohmann::json::parse(read_file(NEARLITE_TOKENIZER_TYPES));
  Tokenizers tokenizers;
  for (const auto& each : goldens.at("cases")) {
    tokenizers.push_back(load_tokenizer(file_of("type.json", each.at("tokenizer").dump())));
  }
  tokenizers.push_back(load_tokenizer(NEARLITE_BERT_TOKENIZER));
  return tokenizers;
}

}  // namespace nearlite::fuzz
