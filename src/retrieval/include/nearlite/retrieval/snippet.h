#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace nearlite {

/// Bytes [begin, end) of a text.
struct TextRange {
  std::size_t begin = 0;
  std::size_t end = 0;
  friend bool operator==(const TextRange&, const TextRange&) = default;
};

/// The words of `text` that are also words of `question`: ASCII letters compared without case,
/// endings of grammar
/// (-s, -ed, -ing) ignored, words of one letter and the most common words of English left out. In
/// order.
std::vector<TextRange> matching_words(std::string_view text, std::string_view question);

/// At most `max_bytes` of the text on one line (white space becomes single spaces), cut between
/// words where most different words of the question stand; "…" marks what was cut off, and comes on
/// top of `max_bytes`. `text` must be valid UTF-8; a word longer than the limit is cut at a
/// character border.
std::string make_snippet(std::string_view text, std::string_view question,
                         std::size_t max_bytes = 200);

}  // namespace nearlite
