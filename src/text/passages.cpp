#include "nearlite/text/passages.h"

#include <algorithm>
#include <optional>
#include <string>

#include "code_points.h"
#include "nearlite/base/error.h"
#include "nearlite/base/utf8.h"

namespace nearlite {
namespace {

/// A part of the text that is not cut any more: a sentence, or a part of one that is too long for a
/// passage.
struct Unit {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t num_tokens = 0;
  bool is_sentence = false;
};

bool is_white_space(char byte) noexcept {
  return byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r';
}

bool is_continuation(char byte) noexcept {
  return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80U;
}

/// How many bytes of `mark`s begin at `at`: the first of them that does, or 0.
template <std::size_t N>
std::size_t any_of_at(std::string_view text, std::size_t at,
                      const std::string_view (&marks)[N]) noexcept {
  for (const std::string_view mark : marks) {
    if (text.substr(at).starts_with(mark)) return mark.size();
  }
  return 0;
}

constexpr std::string_view kStops[] = {".", "!", "?"};         // end a sentence before white space
constexpr std::string_view kWideStops[] = {"。", "！", "？"};  // end a sentence anywhere
constexpr std::string_view kClosers[] = {")", "]", "\"", "'",  "”",
                                         "’", "»", "」", "』", "）"};  // belong to it

/// Reads the units of a text in order. Time: linear, as counting stops at the room of a passage.
class UnitReader {
 public:
  UnitReader(std::string_view text, const Tokenizer& tokenizer, std::size_t room)
      : text_(text), tokenizer_(tokenizer), room_(room) {}

  std::optional<Unit> next() {
    if (at_ == text_.size()) return std::nullopt;
    if (at_ == sentence_end_) {
      sentence_end_ = end_of_sentence(at_);
      const Unit sentence = unit(at_, sentence_end_, true);
      if (sentence.num_tokens <= room_) return take(sentence);
    }
    if (at_ >= word_end_) {
      word_end_ = end_of_word(at_);
      const Unit word = unit(at_, word_end_, false);
      if (word.num_tokens <= room_) return take(word);
    }
    return take(fitting_prefix(at_, word_end_));
  }

  /// The longest part found of [begin, end) that fits, at least one character. Whether a text fits
  /// is not monotonous in its length (a long enough word becomes one unknown token), so this is a
  /// long one, not always the longest.
  Unit fitting_prefix(std::size_t begin, std::size_t end) {
    Unit best = unit(begin, next_character(begin), false);
    std::size_t too_far = 0;
    for (std::size_t step = std::max<std::size_t>(room_, 4); too_far == 0 && best.end < end;
         step *= 2) {
      try_end(character_border(std::min(best.end + step, end)), best, too_far);
    }
    while (too_far > 0 && next_character(best.end) < too_far) {
      const std::size_t middle = character_border((best.end + too_far) / 2);
      try_end(middle > best.end ? middle : next_character(best.end), best, too_far);
    }
    return best;
  }

 private:
  void try_end(std::size_t end, Unit& best, std::size_t& too_far) const {
    if (end <= best.end) return;
    const Unit longer = unit(best.begin, end, false);
    if (longer.num_tokens <= room_) {
      best = longer;
    } else {
      too_far = end;
    }
  }

  Unit unit(std::size_t begin, std::size_t end, bool is_sentence) const {
    return {begin, end, tokenizer_.count(text_.substr(begin, end - begin), room_ + 1), is_sentence};
  }
  Unit take(const Unit& unit) {
    at_ = unit.end;
    return unit;
  }

  std::size_t skip_white_space(std::size_t at) const noexcept {
    while (at < text_.size() && is_white_space(text_[at])) ++at;
    return at;
  }

  /// Behind the white space that follows the sentence which begins at `at`.
  std::size_t end_of_sentence(std::size_t at) const noexcept {
    while (at < text_.size()) {
      if (text_[at] == '\n') return skip_white_space(at);
      const std::size_t wide = any_of_at(text_, at, kWideStops);
      if (wide == 0 && any_of_at(text_, at, kStops) == 0) {
        ++at;
        continue;
      }
      at += std::max<std::size_t>(wide, 1);
      while (const std::size_t more =
                 any_of_at(text_, at, kStops) + any_of_at(text_, at, kWideStops))
        at += more;
      while (const std::size_t closer = any_of_at(text_, at, kClosers)) at += closer;
      if (wide > 0 || at == text_.size() || is_white_space(text_[at])) return skip_white_space(at);
    }
    return text_.size();
  }

  /// Behind the white space that follows the word, inside of the sentence.
  std::size_t end_of_word(std::size_t at) const noexcept {
    while (at < sentence_end_ && !is_white_space(text_[at])) ++at;
    return std::min(skip_white_space(at), sentence_end_);
  }

  std::size_t next_character(std::size_t at) const noexcept {
    do ++at;
    while (at < text_.size() && is_continuation(text_[at]));
    return at;
  }
  std::size_t character_border(std::size_t at) const noexcept {
    while (at > 0 && at < text_.size() && is_continuation(text_[at])) --at;
    return at;
  }

  const std::string_view text_;
  const Tokenizer& tokenizer_;
  const std::size_t room_;
  std::size_t at_ = 0;
  std::size_t sentence_end_ = 0;
  std::size_t word_end_ = 0;
};

/// Packs units into passages.
class PassageBuilder {
 public:
  PassageBuilder(std::string_view text, const Tokenizer& tokenizer, std::size_t room)
      : text_(text), tokenizer_(tokenizer), room_(room), units_(text, tokenizer, room) {}

  std::vector<Passage> build() {
    while (const std::optional<Unit> unit = units_.next()) {
      if (num_tokens_ + unit->num_tokens > room_ && current_.end > current_.begin) {
        close();
        // The last sentence again, if it is not all that there was before.
        const bool repeats = last_.is_sentence && last_.begin > current_.begin &&
                             last_.num_tokens + unit->num_tokens <= room_;
        current_.begin = repeats ? last_.begin : unit->begin;
        num_tokens_ = repeats ? last_.num_tokens : 0;
      }
      current_.end = unit->end;
      num_tokens_ += unit->num_tokens;
      last_ = *unit;
    }
    close();
    return std::move(passages_);
  }

 private:
  /// The tokens of a passage are those of its units, unless an added token reaches from one unit to
  /// the next.
  void close() {
    std::size_t begin = current_.begin;
    while (!fits(begin, current_.end)) {
      const Unit part = units_.fitting_prefix(begin, current_.end);
      passages_.push_back({part.begin, part.end});
      begin = part.end;
    }
    if (begin < current_.end) passages_.push_back({begin, current_.end});
  }
  bool fits(std::size_t begin, std::size_t end) const {
    return tokenizer_.count(text_.substr(begin, end - begin), room_ + 1) <= room_;
  }

  const std::string_view text_;
  const Tokenizer& tokenizer_;
  const std::size_t room_;
  UnitReader units_;
  Passage current_;
  std::size_t num_tokens_ = 0;
  Unit last_;
  std::vector<Passage> passages_;
};

}  // namespace

std::vector<Passage> split_passages(std::string_view text, const Tokenizer& tokenizer,
                                    std::size_t max_tokens) {
  const std::size_t num_special = tokenizer.num_special_tokens();
  if (max_tokens <= num_special) {
    throw InvalidArgument("passages of " + std::to_string(max_tokens) +
                          " tokens leave no room beside the " + std::to_string(num_special) +
                          " special tokens");
  }
  const std::size_t room = max_tokens - num_special;
  if (tokenizer.count(text, room + 1) <= room) return {{0, text.size()}};
  // Counting stops early; finding character borders relies on the rest as well.
  if (const auto bad = find_invalid_utf8(text)) throw_invalid_utf8(text, *bad, 0);
  return PassageBuilder(text, tokenizer, room).build();
}

}  // namespace nearlite
