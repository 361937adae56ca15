#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "added_tokens.h"
#include "character_map.h"
#include "mark_run.h"
#include "vocabulary.h"
#include "word_buffer.h"

namespace nearlite {

/// What one tokenizer knows, prepared for reading text. Immutable; may be used by several threads.
/// Vocabulary and matcher are borrowed.
class WordModel {
 public:
  /// What a byte of text begins, for the first look at it.
  enum class Start : std::uint8_t { kSpace, kAlone, kWord, kOther };

  WordModel(const NormalizerOptions& options, const Vocabulary& vocabulary,
            const AddedTokenMatcher& added, std::size_t max_word_characters);

  const CharacterMap& characters() const noexcept { return characters_; }
  const Vocabulary& vocabulary() const noexcept { return vocabulary_; }
  const AddedTokenMatcher& added() const noexcept { return added_; }
  std::size_t max_word_characters() const noexcept { return max_word_characters_; }

  Start start(char byte) const noexcept { return starts_[static_cast<unsigned char>(byte)]; }
  /// Whether this byte ends a word that stands before it (false also where only a closer look
  /// tells).
  bool ends_word(char byte) const noexcept { return ends_word_[static_cast<unsigned char>(byte)]; }
  /// The id of a byte that start() or the character map calls kAlone.
  std::int32_t alone_id(char byte) const noexcept {
    return alone_ids_[static_cast<unsigned char>(byte)];
  }
  /// What upper-case ASCII letters are OR-ed with.
  char case_bit() const noexcept { return case_bit_; }

 private:
  CharacterMap characters_;
  const Vocabulary& vocabulary_;
  const AddedTokenMatcher& added_;
  std::size_t max_word_characters_;
  char case_bit_ = 0;
  std::array<std::int32_t, 128> alone_ids_{};
  std::array<Start, 256> starts_{};
  std::array<bool, 256> ends_word_{};
};

/// Reads one text from left to right and appends the ids of its words, without special tokens.
class WordReader {
 public:
  /// Stops after the word with which `ids` reaches `enough`. The ids of that word are all there.
  WordReader(const WordModel& model, std::size_t enough, std::vector<std::int32_t>& ids)
      : model_(model), enough_(enough), ids_(ids) {}

  /// Reads the words of `text` that begin and end before byte `stop`; all of them if stop is
  /// text.size(). Throws InvalidArgument at bytes that are not UTF-8.
  void read(std::string_view text, std::size_t stop);

 private:
  bool read_fast_word();
  void read_any_word();
  bool read_added_token();
  void read_character(char32_t code);
  void read_sequence(std::u32string_view sequence);
  void add_to_word(char32_t code);
  void add_mark(char32_t code, std::uint32_t combining_class);
  void add_alone(char32_t code);
  void settle_marks();
  void end_word();
  void finish();
  bool is_full() const noexcept { return ids_.size() >= enough_; }

  const WordModel& model_;
  const std::size_t enough_;
  std::vector<std::int32_t>& ids_;
  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t stop_ = 0;
  std::size_t no_added_before_ =
      0;                         // an added token found here would overlap one that was passed over
  std::size_t taken_until_ = 0;  // by the last added token, with its white space
  std::size_t white_until_ = 0;  // behind the last white space that an added token took
  WordBuffer word_;              // normalized; its end is missing once it is too long to be known
  std::size_t word_characters_ = 0;
  MarkRun marks_;  // of the end of the word
};

}  // namespace nearlite
