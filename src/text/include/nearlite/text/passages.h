#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "nearlite/text/tokenizer.h"

namespace nearlite {

/// A part of a text: bytes [begin, end), at character borders.
struct Passage {
  std::size_t begin = 0;
  std::size_t end = 0;
  friend bool operator==(const Passage&, const Passage&) = default;
};

/// Cuts a text into parts that a model reads whole: at sentence borders where possible, else
/// between words, else between characters; neighbours share one sentence when it fits. A text that
/// fits is one passage. At least one passage, each of at most `max_tokens` tokens (special tokens
/// included), together covering the text. (A single character of more tokens than that, a Hangul
/// syllable say, is a passage nevertheless.) The same text and tokenizer give the same passages.
/// Time: linear in the length of the text, times the logarithm of a passage's length within words
/// that do not fit into one. Throws InvalidArgument if the text is not valid UTF-8 or max_tokens
/// leaves no room beside the special tokens.
std::vector<Passage> split_passages(std::string_view text, const Tokenizer& tokenizer,
                                    std::size_t max_tokens);

}  // namespace nearlite
