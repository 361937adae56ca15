// The two models that look words up: WordPiece and WordLevel.
#include <algorithm>

#include "subword_model.h"

namespace nearlite {
namespace {

std::size_t count_characters(std::string_view text) noexcept {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
  }));
}

class WordPiece final : public SubwordModel {
 public:
  WordPiece(const std::vector<VocabularyEntry>& entries, const std::string& continuation,
            std::int32_t unknown_id, std::size_t max_word_characters)
      : vocabulary_(entries, continuation, unknown_id), max_characters_(max_word_characters) {}

  void append_ids(std::string_view word, ModelScratch& /*scratch*/,
                  std::vector<std::int32_t>& ids) const override {
    if (count_characters(word) > max_characters_) {
      ids.push_back(vocabulary_.unknown_id());
    } else {
      vocabulary_.append_pieces(word, ids);
    }
  }

 private:
  Vocabulary vocabulary_;
  std::size_t max_characters_;
};

class WordLevel final : public SubwordModel {
 public:
  WordLevel(const std::vector<VocabularyEntry>& entries, std::int32_t unknown_id)
      : unknown_id_(unknown_id) {
    std::vector<PrefixTrie::Item> items;
    for (const auto& [token, id] : entries) {
      if (!token.empty()) items.push_back({token, id});
    }
    words_ = PrefixTrie(std::move(items));
  }

  void append_ids(std::string_view word, ModelScratch& /*scratch*/,
                  std::vector<std::int32_t>& ids) const override {
    const std::int32_t id = words_.find(word);
    ids.push_back(id < 0 ? unknown_id_ : id);
  }

 private:
  PrefixTrie words_;
  std::int32_t unknown_id_;
};

}  // namespace

std::unique_ptr<const SubwordModel> wordpiece_model(const std::vector<VocabularyEntry>& entries,
                                                    std::string continuation,
                                                    std::int32_t unknown_id,
                                                    std::size_t max_word_characters) {
  return std::make_unique<const WordPiece>(entries, continuation, unknown_id, max_word_characters);
}

std::unique_ptr<const SubwordModel> word_level_model(const std::vector<VocabularyEntry>& entries,
                                                     std::int32_t unknown_id) {
  return std::make_unique<const WordLevel>(entries, unknown_id);
}

}  // namespace nearlite
