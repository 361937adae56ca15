#pragma once

#include <string_view>
#include <vector>

#include "code_points.h"
#include "vocabulary.h"

namespace nearlite {

/// The word that is being read. Behind its end there is always room for the bytes that a ShortWord
/// looks at.
class WordBuffer {
 public:
  void append(char32_t code) {
    if (size_ + kRoom > bytes_.size()) bytes_.resize(2 * bytes_.size() + 4 * kRoom);
    size_ += encode_utf8(code, bytes_.data() + size_);
  }
  void clear() noexcept { size_ = 0; }
  std::string_view view() const noexcept { return {bytes_.data(), size_}; }

  /// Appends the ids of the word, which must not be empty.
  void look_up(const Vocabulary& vocabulary, std::vector<std::int32_t>& ids) const {
    // A NUL byte at the end would not show in a ShortWord.
    if (size_ <= ShortWord::kMaxBytes && bytes_[size_ - 1] != '\0') {
      const std::int32_t id = vocabulary.find(ShortWord::of(bytes_.data(), size_));
      if (id >= 0) {
        ids.push_back(id);
        return;
      }
    }
    vocabulary.append_pieces(view(), ids);
  }

 private:
  static constexpr std::size_t kRoom = ShortWord::kMaxBytes + 4;
  std::vector<char> bytes_;
  std::size_t size_ = 0;
};

}  // namespace nearlite
