#include "nearlite/retrieval/snippet.h"

#include <algorithm>
#include <map>
#include <span>

#include "nearlite/base/names.h"
#include "nearlite/base/utf8.h"
#include "nearlite/retrieval/question.h"

namespace nearlite {
namespace {

bool is_word_byte(char c) noexcept {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x80 || (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
         (byte >= 'A' && byte <= 'Z') || byte == '_';
}

std::vector<TextRange> words_of(std::string_view text) {
  std::vector<TextRange> words;
  for (std::size_t at = 0; at < text.size();) {
    if (!is_word_byte(text[at])) {
      ++at;
      continue;
    }
    const std::size_t begin = at;
    while (at < text.size() && is_word_byte(text[at])) ++at;
    words.push_back({begin, at});
  }
  return words;
}

/// "uploading", "uploads" and "upload" have one stem. Only as good as marking words in a snippet
/// needs.
std::string stem_of(std::string_view word) {
  std::string stem = to_lower_ascii(word);
  for (const std::string_view ending : {"ing", "ed", "es", "s"}) {
    if (stem.size() >= ending.size() + 3 && stem.ends_with(ending)) {
      stem.resize(stem.size() - ending.size());
      break;
    }
  }
  return stem;
}

/// Stem of each word of the question that says something -> its number.
std::map<std::string, std::size_t> stems_of(std::string_view question) {
  std::map<std::string, std::size_t> stems;
  for (const auto [begin, end] : words_of(question)) {
    const std::string word = to_lower_ascii(question.substr(begin, end - begin));
    if (word.size() < 2 || is_common_word(word)) continue;
    stems.emplace(stem_of(word), stems.size());
  }
  return stems;
}

std::string on_one_line(std::string_view text) {
  std::string line;
  line.reserve(text.size());
  bool gap = false;
  for (const char c : text) {
    if (c == ' ' || (c >= '\t' && c <= '\r')) {
      gap = !line.empty();
      continue;
    }
    if (gap) line += ' ';
    gap = false;
    line += c;
  }
  return line;
}

/// Pieces between spaces: what a cut never goes through.
std::vector<TextRange> pieces_of(std::string_view line) {
  std::vector<TextRange> pieces;
  for (std::size_t begin = 0; begin < line.size();) {
    const std::size_t end = std::min(line.find(' ', begin), line.size());
    pieces.push_back({begin, end});
    begin = end + 1;
  }
  return pieces;
}

/// For each piece the numbers of the question's words in it.
std::vector<std::vector<std::size_t>> matches_of(std::string_view line,
                                                 std::span<const TextRange> pieces,
                                                 const std::map<std::string, std::size_t>& stems) {
  std::vector<std::vector<std::size_t>> matches(pieces.size());
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const std::string_view piece = line.substr(pieces[i].begin, pieces[i].end - pieces[i].begin);
    for (const auto [begin, end] : words_of(piece)) {
      const auto found = stems.find(stem_of(piece.substr(begin, end - begin)));
      if (found != stems.end()) matches[i].push_back(found->second);
    }
  }
  return matches;
}

/// The first run of pieces of at most max_bytes that holds most different words of the question:
/// [first, last).
std::pair<std::size_t, std::size_t> best_window(std::span<const TextRange> pieces,
                                                std::span<const std::vector<std::size_t>> matches,
                                                std::size_t num_stems, std::size_t max_bytes) {
  std::vector<std::size_t> seen(num_stems, 0);
  std::size_t distinct = 0;
  std::size_t best_distinct = 0;
  std::pair<std::size_t, std::size_t> best{0, 0};
  std::size_t last = 0;
  for (std::size_t first = 0; first < pieces.size(); ++first) {
    while (last < pieces.size() && pieces[last].end - pieces[first].begin <= max_bytes) {
      for (const std::size_t stem : matches[last]) distinct += seen[stem]++ == 0 ? 1 : 0;
      ++last;
    }
    if (last > first && (distinct > best_distinct || best.second == 0)) {
      best_distinct = distinct;
      best = {first, last};
    }
    if (last == pieces.size()) break;  // later windows hold a part of this one
    if (last == first) {               // one piece longer than the limit
      ++last;
      continue;
    }
    for (const std::size_t stem : matches[first]) distinct -= --seen[stem] == 0 ? 1 : 0;
  }
  return best;
}

}  // namespace

std::vector<TextRange> matching_words(std::string_view text, std::string_view question) {
  const auto stems = stems_of(question);
  std::vector<TextRange> ranges = words_of(text);
  std::erase_if(ranges, [&](const TextRange& word) {
    return !stems.contains(stem_of(text.substr(word.begin, word.end - word.begin)));
  });
  return ranges;
}

std::string make_snippet(std::string_view text, std::string_view question, std::size_t max_bytes) {
  std::string line = on_one_line(text);
  if (line.size() <= max_bytes) return line;
  const auto pieces = pieces_of(line);
  const auto stems = stems_of(question);
  const auto matches = matches_of(line, pieces, stems);
  const auto [first, last] = best_window(pieces, matches, stems.size(), max_bytes);
  if (last == 0) return std::string(utf8_prefix(line, max_bytes)) + "…";
  const std::size_t begin = pieces[first].begin;
  const std::size_t end = pieces[last - 1].end;
  std::string snippet = begin > 0 ? "… " : "";
  snippet.append(line, begin, end - begin);
  if (end < line.size()) snippet += " …";
  return snippet;
}

}  // namespace nearlite
