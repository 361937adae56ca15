#pragma once

#include <string>
#include <string_view>

namespace nearlite {

/// A question as people type it, taken apart. `"two words"` is a phrase, `-word` and `-"two words"`
/// leave out rows that say it; everything else is text. The expressions are in the syntax of FTS5
/// and always valid; "" where there is nothing.
struct Question {
  std::string text{};      // what the model reads: without what is left out, and without quotes
  std::string words{};     // any of the words that say something
  std::string exact{};     // any of the phrases, identifiers and error codes
  std::string phrases{};   // all of the phrases
  std::string excluded{};  // any of what is left out
};

/// Throws InvalidArgument if the question is not UTF-8, blank, or leaves out only.
Question parse_question(std::string_view question);

/// One of the most common words of English, which say nothing about a text. `word` in lower case.
bool is_common_word(std::string_view word);

/// Whether a piece of a question names one thing: E0432, ENOSPC_2, std::vector, libssl3,
/// 0x8007000e. Not a word, a plain number or a word with a hyphen.
bool is_identifier(std::string_view piece);

}  // namespace nearlite
