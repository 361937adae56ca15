#include "normalize.h"

#include "code_points.h"
#include "mark_run.h"
#include "nearlite/base/error.h"
#include "nearlite/base/utf8.h"
#include "unicode_tables.h"

namespace nearlite {
namespace {

class Normalizer {
 public:
  explicit Normalizer(const CharacterMap& characters) : characters_(characters) {}

  void add(char32_t code) {
    const CharacterMap::Entry entry = characters_.at(code);
    switch (entry.kind()) {
      case CharacterKind::kDelete:
        return;
      case CharacterKind::kMark:
        marks_.add(code, entry.value());
        return;
      case CharacterKind::kBarrier:
        settle_marks();
        return;
      case CharacterKind::kSpace:
        return put(characters_.options().clean_text ? U' ' : code);
      case CharacterKind::kAlone:
        return put_alone(code);
      case CharacterKind::kHangul:
        for (const char32_t letter : hangul_letters(code)) put(letter);
        return;
      case CharacterKind::kSequence:
        for (const char32_t part : characters_.sequence(entry.value())) put_part(part);
        return;
      case CharacterKind::kMap:
        return put(entry.value());
      case CharacterKind::kKeep:
        return put(code);
    }
  }

  NormalizedText finish() {
    result_.safe_size = result_.text.size();  // marks that follow could still move before these
    settle_marks();
    return std::move(result_);
  }

 private:
  void put(char32_t code) {
    settle_marks();
    append_utf8(result_.text, code);
  }
  void put_part(char32_t code) {
    const CharacterMap::Entry entry = characters_.pre_tokenized(code);
    if (entry.kind() == CharacterKind::kMark) {
      marks_.add(code, entry.value());
    } else {
      put(code);
    }
  }
  void put_alone(char32_t code) {
    const bool is_spaced =
        characters_.options().handle_chinese_chars && unicode::contains(unicode::kIdeographs, code);
    if (is_spaced) put(U' ');
    put(code);
    if (is_spaced) put(U' ');
  }
  void settle_marks() {
    if (!marks_.empty()) marks_.move_to([this](char32_t code) { append_utf8(result_.text, code); });
  }

  const CharacterMap& characters_;
  MarkRun marks_;
  NormalizedText result_;
};

}  // namespace

NormalizedText normalize(std::string_view text, const CharacterMap& characters,
                         std::size_t offset) {
  Normalizer normalizer(characters);
  for (std::size_t at = 0; at < text.size();) {
    const char32_t code = checked_code_point(text, at);
    if (code == kInvalidCodePoint) throw_invalid_utf8(text, at, offset);
    normalizer.add(code);
  }
  return normalizer.finish();
}

void throw_invalid_utf8(std::string_view text, std::size_t at, std::size_t offset) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(text[at]);
  throw InvalidArgument("the text is not valid UTF-8: byte 0x" +
                            std::string{kDigits[byte >> 4U], kDigits[byte & 15U]} +
                            " at position " + std::to_string(offset + at),
                        "convert the text to UTF-8 first");
}

}  // namespace nearlite
