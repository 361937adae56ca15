#include "pre_tokenizers.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "nearlite/base/utf8.h"

namespace nearlite {
namespace {

/// Turns matches and what is between them into the parts that remain; `is_match` of a part then
/// means that it is dropped.
void apply_behavior(SplitBehavior behavior, std::vector<PatternPart>& parts) {
  std::size_t kept = 0;
  const auto keep = [&](const PatternPart& part) { parts[kept++] = {part.begin, part.end, false}; };
  bool after_match = false;
  switch (behavior) {
    case SplitBehavior::kRemoved:
      return;
    case SplitBehavior::kIsolated:
      for (PatternPart& part : parts) part.is_match = false;
      return;
    case SplitBehavior::kContiguous:
    case SplitBehavior::kMergedWithPrevious:
      for (std::size_t i = 0; i < parts.size(); ++i) {
        const PatternPart part = parts[i];
        const bool joins = behavior == SplitBehavior::kContiguous ? part.is_match == after_match
                                                                  : part.is_match && !after_match;
        after_match = part.is_match;
        if (joins && kept > 0) {
          parts[kept - 1].end = part.end;
        } else {
          keep(part);
        }
      }
      break;
    case SplitBehavior::kMergedWithNext:
      std::reverse(parts.begin(), parts.end());
      for (std::size_t i = 0; i < parts.size(); ++i) {
        const PatternPart part = parts[i];
        if (part.is_match && !after_match && kept > 0) {
          parts[kept - 1].begin = part.begin;
        } else {
          keep(part);
        }
        after_match = part.is_match;
      }
      std::reverse(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(kept));
      break;
  }
  parts.resize(kept);
}

/// The words of `words` cut by a pattern, into `result`.
void split_words(const Pattern& pattern, SplitBehavior behavior, bool invert, Words& words,
                 WordScratch& scratch) {
  auto& result = scratch.other.words;
  result.clear();
  for (const Words::Word& word : words.words) {
    scratch.parts.clear();
    pattern.find_parts(std::string_view(words.text).substr(word.begin, word.end - word.begin),
                       scratch.parts);
    if (invert) {
      for (PatternPart& part : scratch.parts) part.is_match = !part.is_match;
    }
    apply_behavior(behavior, scratch.parts);
    for (const PatternPart& part : scratch.parts) {
      if (part.is_match || part.begin == part.end) continue;
      result.push_back(
          {word.begin + part.begin, word.begin + part.end, word.is_first && part.begin == 0});
    }
  }
  std::swap(words.words, result);
}

class SplitPreTokenizer final : public PreTokenizer {
 public:
  SplitPreTokenizer(std::unique_ptr<const Pattern> pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  void apply(Words& words, WordScratch& scratch) const override {
    split_words(*pattern_, behavior_, invert_, words, scratch);
  }
  bool separates_words() const noexcept override { return pattern_->separates_words(); }
  bool is_local() const noexcept override {
    return behavior_ != SplitBehavior::kMergedWithPrevious;
  }

 private:
  std::unique_ptr<const Pattern> pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

class Metaspace final : public PreTokenizer {
 public:
  Metaspace(std::string replacement, PrependScheme scheme, bool split)
      : replacement_(std::move(replacement)), scheme_(scheme), split_(split) {}

  void apply(Words& words, WordScratch& scratch) const override {
    Words& result = scratch.other;
    result.text.clear();
    result.words.clear();
    for (const Words::Word& word : words.words) {
      const std::string_view from =
          std::string_view(words.text).substr(word.begin, word.end - word.begin);
      const std::size_t begin = result.text.size();
      const bool has_prefix = from.front() == ' ' || from.starts_with(replacement_);
      const bool wants_prefix =
          scheme_ == PrependScheme::kAlways || (scheme_ == PrependScheme::kFirst && word.is_first);
      if (wants_prefix && !has_prefix) result.text += replacement_;
      for (const char character : from) {
        if (character == ' ') {
          result.text += replacement_;
        } else {
          result.text += character;
        }
      }
      add_words(begin, word.is_first, result);
    }
    std::swap(words, result);
  }
  bool separates_words() const noexcept override { return split_; }

 private:
  void add_words(std::size_t begin, bool is_first, Words& result) const {
    const std::string& text = result.text;
    std::size_t at = split_ ? text.find(replacement_, begin + 1) : std::string::npos;
    while (begin < text.size()) {
      const std::size_t end = std::min(at, text.size());
      result.words.push_back({begin, end, is_first});
      is_first = false;
      begin = end;
      at = end < text.size() ? text.find(replacement_, begin + replacement_.size())
                             : std::string::npos;
    }
  }

  std::string replacement_;
  PrependScheme scheme_;
  bool split_;
};

/// The character of each byte: itself where it prints, else one from U+0100 on.
std::array<char32_t, 256> byte_characters() {
  std::array<char32_t, 256> characters{};
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool prints = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) ||
                        (byte >= 0xAE && byte <= 0xFF);
    characters[byte] = prints ? byte : next++;
  }
  return characters;
}

class ByteLevel final : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, bool use_regex)
      : add_prefix_space_(add_prefix_space), use_regex_(use_regex), pattern_(byte_level_pattern()) {
    const auto characters = byte_characters();
    for (std::size_t byte = 0; byte < 256; ++byte) append_utf8(shown_[byte], characters[byte]);
  }

  void apply(Words& words, WordScratch& scratch) const override {
    if (add_prefix_space_) prepend_spaces(words, scratch.other);
    if (use_regex_) split_words(*pattern_, SplitBehavior::kIsolated, false, words, scratch);
    Words& result = scratch.other;
    result.text.clear();
    result.words.clear();
    for (const Words::Word& word : words.words) {
      const std::size_t begin = result.text.size();
      for (std::size_t i = word.begin; i < word.end; ++i) {
        result.text += shown_[static_cast<unsigned char>(words.text[i])];
      }
      result.words.push_back({begin, result.text.size(), word.is_first});
    }
    std::swap(words, result);
  }
  bool separates_words() const noexcept override { return use_regex_; }

 private:
  static void prepend_spaces(Words& words, Words& result) {
    result.text.clear();
    result.words.clear();
    for (const Words::Word& word : words.words) {
      const std::size_t begin = result.text.size();
      if (words.text[word.begin] != ' ') result.text += ' ';
      result.text.append(words.text, word.begin, word.end - word.begin);
      result.words.push_back({begin, result.text.size(), word.is_first});
    }
    std::swap(words, result);
  }

  bool add_prefix_space_;
  bool use_regex_;
  std::unique_ptr<const Pattern> pattern_;
  std::array<std::string, 256> shown_;
};

}  // namespace

std::unique_ptr<const PreTokenizer> split_pre_tokenizer(std::unique_ptr<const Pattern> pattern,
                                                        SplitBehavior behavior, bool invert) {
  return std::make_unique<const SplitPreTokenizer>(std::move(pattern), behavior, invert);
}

std::unique_ptr<const PreTokenizer> metaspace_pre_tokenizer(std::string replacement,
                                                            PrependScheme scheme, bool split) {
  return std::make_unique<const Metaspace>(std::move(replacement), scheme, split);
}

std::unique_ptr<const PreTokenizer> byte_level_pre_tokenizer(bool add_prefix_space,
                                                             bool use_regex) {
  return std::make_unique<const ByteLevel>(add_prefix_space, use_regex);
}

}  // namespace nearlite
