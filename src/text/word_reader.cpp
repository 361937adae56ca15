#include "word_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "code_points.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace nearlite {
namespace {

constexpr bool kHasFastWords =
#if defined(__SSE2__)
    true;
#else
    false;
#endif

bool is_ascii_alphanumeric(unsigned char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
         (byte >= '0' && byte <= '9');
}

}  // namespace

WordModel::WordModel(const NormalizerOptions& options, const Vocabulary& vocabulary,
                     const AddedTokenMatcher& added, std::size_t max_word_characters)
    : characters_(options),
      vocabulary_(vocabulary),
      added_(added),
      max_word_characters_(max_word_characters) {
  case_bit_ = characters_.at(U'A').kind() == CharacterKind::kMap ? ' ' : '\0';
  bool has_fast_words = kHasFastWords && max_word_characters_ >= ShortWord::kMaxBytes;
  for (unsigned byte = 0; byte < 128; ++byte) {
    const bool is_word = is_ascii_alphanumeric(static_cast<unsigned char>(byte));
    if (is_word && added.can_start_with(static_cast<char>(byte))) has_fast_words = false;
  }
  starts_.fill(Start::kOther);
  for (unsigned byte = 0; byte < 128; ++byte) {
    const char character = static_cast<char>(byte);
    const CharacterKind kind = characters_.at(byte).kind();
    ends_word_[byte] = kind == CharacterKind::kSpace || kind == CharacterKind::kAlone;
    if (kind == CharacterKind::kAlone) {
      const std::int32_t id = vocabulary.find({.low = byte, .high = 0});
      alone_ids_[byte] = id < 0 || max_word_characters == 0 ? vocabulary.unknown_id() : id;
    }
    if (added.can_start_with(character)) continue;
    if (kind == CharacterKind::kSpace) starts_[byte] = Start::kSpace;
    if (kind == CharacterKind::kAlone) starts_[byte] = Start::kAlone;
    if (has_fast_words && is_ascii_alphanumeric(static_cast<unsigned char>(byte)))
      starts_[byte] = Start::kWord;
  }
}

void WordReader::read(std::string_view text, std::size_t stop) {
  text_ = text;
  stop_ = stop;
  at_ = 0;
  no_added_before_ = 0;
  taken_until_ = 0;
  white_until_ = 0;
  while (at_ < stop_ && !is_full()) {
    const char byte = text_[at_];
    switch (model_.start(byte)) {
      case WordModel::Start::kSpace:
        ++at_;
        break;
      case WordModel::Start::kAlone:
        ids_.push_back(model_.alone_id(byte));
        ++at_;
        break;
      case WordModel::Start::kWord:
        if (!read_fast_word()) read_any_word();
        break;
      case WordModel::Start::kOther:
        read_any_word();
        break;
    }
  }
}

/// Reads a word of at most 15 ASCII letters and digits with nothing else in it, which most words
/// are: the 16 bytes it begins, lower-cased and with the bytes behind it set to zero, are the key
/// under which the vocabulary has it.
bool WordReader::read_fast_word() {
#if defined(__SSE2__)
  __m128i bytes;
  if (text_.size() - at_ >= 16) {
    bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text_.data() + at_));
  } else {
    alignas(16) char padded[16] = {};
    std::memcpy(padded, text_.data() + at_, text_.size() - at_);
    bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(padded));
  }
  // Both comparisons move the wanted range to the end of the signed bytes, so that one suffices.
  const __m128i lower = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
  const __m128i is_letter =
      _mm_cmpgt_epi8(_mm_add_epi8(lower, _mm_set1_epi8(127 - 'z')), _mm_set1_epi8(127 - 26));
  const __m128i is_digit =
      _mm_cmpgt_epi8(_mm_add_epi8(bytes, _mm_set1_epi8(127 - '9')), _mm_set1_epi8(127 - 10));
  const auto in_word = static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(is_letter, is_digit)));
  const auto length = static_cast<std::size_t>(std::countr_one(in_word));
  const std::size_t end = at_ + length;
  if (length == 16 || (end < text_.size() && !model_.ends_word(text_[end]))) return false;
  if (end > stop_) {
    at_ = stop_;
    return true;
  }
  alignas(16) static constexpr unsigned char kKeep[32] = {255, 255, 255, 255, 255, 255, 255, 255,
                                                          255, 255, 255, 255, 255, 255, 255, 255};
  const __m128i keep = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kKeep + 16 - length));
  const __m128i folded =
      _mm_or_si128(bytes, _mm_and_si128(is_letter, _mm_set1_epi8(model_.case_bit())));
  const __m128i key = _mm_and_si128(folded, keep);
  const ShortWord word{static_cast<std::uint64_t>(_mm_cvtsi128_si64(key)),
                       static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(key, key)))};
  const std::int32_t id = model_.vocabulary().find(word);
  if (id >= 0) {
    ids_.push_back(id);
  } else {
    alignas(16) char buffer[16];
    _mm_store_si128(reinterpret_cast<__m128i*>(buffer), key);
    model_.vocabulary().append_pieces({buffer, length}, ids_);
  }
  at_ = end;
  return true;
#else
  return false;
#endif
}

/// Reads one word, or several without a gap of ASCII between them.
void WordReader::read_any_word() {
  while (at_ < stop_) {
    const char byte = text_[at_];
    if (model_.added().can_start_with(byte) && at_ >= no_added_before_ && read_added_token())
      return;
    const char32_t code = checked_code_point(text_, at_);
    if (code == kInvalidCodePoint) throw_invalid_utf8(text_, at_, 0);
    read_character(code);
    if (model_.ends_word(byte) || is_full()) return;
  }
  finish();
}

/// White space that a token takes along separates words anyway. It only matters to a token that
/// begins with white space and takes more along to its left: if the one before it took all of it,
/// the reference leaves it out.
bool WordReader::read_added_token() {
  const auto match = model_.added().match_at(text_, at_);
  if (!match) return false;
  if (match->token == nullptr) {
    no_added_before_ = match->end;
    return false;
  }
  end_word();
  const AddedToken& token = *match->token;
  std::size_t after = match->end;
  if (token.rstrip)
    after = white_until_ = white_space_end(text_, std::max(match->end, white_until_));
  if (!token.lstrip || after > taken_until_) ids_.push_back(token.id);
  taken_until_ = after;
  at_ = match->end;
  return true;
}

void WordReader::read_character(char32_t code) {
  const CharacterMap::Entry entry = model_.characters().at(code);
  switch (entry.kind()) {
    case CharacterKind::kKeep:
      add_to_word(code);
      break;
    case CharacterKind::kMap:
      add_to_word(entry.value());
      break;
    case CharacterKind::kDelete:
      break;
    case CharacterKind::kBarrier:
      settle_marks();
      break;
    case CharacterKind::kSpace:
      end_word();
      break;
    case CharacterKind::kAlone:
      add_alone(code);
      break;
    case CharacterKind::kMark:
      add_mark(code, entry.value());
      break;
    case CharacterKind::kHangul:
      for (const char32_t letter : hangul_letters(code)) add_to_word(letter);
      break;
    case CharacterKind::kSequence:
      read_sequence(model_.characters().sequence(entry.value()));
      break;
  }
}

void WordReader::read_sequence(std::u32string_view sequence) {
  for (const char32_t code : sequence) {
    const CharacterMap::Entry entry = model_.characters().pre_tokenized(code);
    if (entry.kind() == CharacterKind::kSpace) {
      end_word();
    } else if (entry.kind() == CharacterKind::kAlone) {
      add_alone(code);
    } else if (entry.kind() == CharacterKind::kMark) {
      add_mark(code, entry.value());
    } else {
      add_to_word(code);
    }
  }
}

void WordReader::add_to_word(char32_t code) {
  settle_marks();
  // Of a word that is too long only the length matters: it is unknown.
  if (word_characters_++ < model_.max_word_characters()) word_.append(code);
}

void WordReader::add_mark(char32_t code, std::uint32_t combining_class) {
  if (word_characters_++ < model_.max_word_characters()) marks_.add(code, combining_class);
}

void WordReader::settle_marks() {
  if (!marks_.empty()) marks_.move_to([this](char32_t code) { word_.append(code); });
}

void WordReader::add_alone(char32_t code) {
  end_word();
  char bytes[ShortWord::kMaxBytes] = {};
  const std::size_t size = encode_utf8(code, bytes);
  const std::int32_t id = model_.vocabulary().find(ShortWord::of(bytes, size));
  ids_.push_back(id < 0 || model_.max_word_characters() == 0 ? model_.vocabulary().unknown_id()
                                                             : id);
}

void WordReader::end_word() {
  if (word_characters_ == 0) return;
  settle_marks();
  if (word_characters_ > model_.max_word_characters()) {
    ids_.push_back(model_.vocabulary().unknown_id());
  } else {
    word_.look_up(model_.vocabulary(), ids_);
  }
  word_.clear();
  word_characters_ = 0;
}

/// At stop_: the word is over if the text is; else it may go on in text that is not there yet.
void WordReader::finish() {
  if (stop_ == text_.size()) end_word();
  word_.clear();
  word_characters_ = 0;
  marks_.clear();
}

}  // namespace nearlite
