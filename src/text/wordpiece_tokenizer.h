#pragma once

#include <memory>
#include <string>
#include <vector>

#include "added_tokens.h"
#include "character_map.h"
#include "nearlite/text/tokenizer.h"
#include "vocabulary.h"

namespace nearlite {

/// All that makes up a WordPiece tokenizer, from whatever file it was read. Already checked by the
/// reader of the file: ids are not negative and unknown_id is one of them, no added token is empty.
struct WordPieceDefinition {
  NormalizerOptions normalizer;
  std::vector<VocabularyEntry> vocabulary;
  std::int32_t unknown_id = 0;
  std::string continuation = "##";
  std::size_t max_word_characters = 100;
  std::vector<AddedToken> added_tokens;
  std::vector<std::int32_t> ids_before;  // special tokens in front of every text
  std::vector<std::int32_t> ids_behind;
  TokenizerParts parts;
};

/// Throws CorruptData if nothing remains of an added token when it is normalized.
std::unique_ptr<const Tokenizer> make_wordpiece_tokenizer(WordPieceDefinition definition);

}  // namespace nearlite
