#include <algorithm>
#include <limits>

#include "byte_tokens.h"
#include "subword_model.h"

namespace nearlite {
namespace {

constexpr double kUnknownPenalty = 10.0;  // below the least score of all tokens

std::size_t character_bytes(char lead) noexcept {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

PrefixTrie trie_of(const std::vector<std::pair<std::string, double>>& vocabulary) {
  std::vector<PrefixTrie::Item> items;
  for (std::size_t i = vocabulary.size(); i-- > 0;) {  // of equal keys the trie keeps the first
    if (!vocabulary[i].first.empty()) {
      items.push_back({vocabulary[i].first, static_cast<std::int32_t>(i)});
    }
  }
  return PrefixTrie(std::move(items));
}

/// The most probable way to cut a word into tokens (Viterbi). Ties go to the token that begins
/// first. Unknown characters that follow one another are one unknown token.
class Unigram final : public SubwordModel {
 public:
  explicit Unigram(const UnigramDefinition& definition)
      : tokens_(trie_of(definition.vocabulary)),
        bytes_([this](const std::string& token) { return tokens_.find(token); }),
        unknown_id_(definition.unknown_id),
        byte_fallback_(definition.byte_fallback) {
    double least = std::numeric_limits<double>::infinity();
    scores_.reserve(definition.vocabulary.size());
    for (const auto& [token, score] : definition.vocabulary) {
      scores_.push_back(score);
      least = std::min(least, score);
    }
    unknown_score_ = least - kUnknownPenalty;
  }

  void append_ids(std::string_view word, ModelScratch& scratch,
                  std::vector<std::int32_t>& ids) const override {
    find_best(word, scratch.steps);
    // Backwards along the best way; the ids are turned round at the end.
    const auto first = static_cast<std::ptrdiff_t>(ids.size());
    std::size_t unknown_end = 0;  // of a run of unknown characters, if not 0
    std::size_t end = word.size();
    while (end > 0) {
      const ModelScratch::Step& step = scratch.steps[end];
      if (step.id == unknown_id_) {
        if (unknown_end == 0) unknown_end = end;
      } else {
        if (unknown_end != 0) append_unknown(word.substr(end, unknown_end - end), ids);
        unknown_end = 0;
        ids.push_back(step.id);
      }
      end = step.begin;
    }
    if (unknown_end != 0) append_unknown(word.substr(0, unknown_end), ids);
    std::reverse(ids.begin() + first, ids.end());
  }

 private:
  void find_best(std::string_view word, std::vector<ModelScratch::Step>& steps) const {
    steps.assign(word.size() + 1, {});
    const auto offer = [&](std::size_t begin, std::size_t end, std::int32_t id, double score) {
      ModelScratch::Step& step = steps[end];
      if (step.id < 0 || score > step.score) {
        step = {score, id, static_cast<std::uint32_t>(begin)};
      }
    };
    for (std::size_t at = 0; at < word.size();) {
      const double score = steps[at].score;
      const std::size_t character = std::min(character_bytes(word[at]), word.size() - at);
      bool is_token = false;  // the character alone
      tokens_.for_each_prefix(word.substr(at), [&](std::size_t length, std::int32_t id) {
        offer(at, at + length, id, scores_[static_cast<std::size_t>(id)] + score);
        is_token = is_token || length == character;
      });
      if (!is_token) offer(at, at + character, unknown_id_, unknown_score_ + score);
      at += character;
    }
  }

  /// A run of unknown characters, its ids last one first. It may spell a token nevertheless.
  void append_unknown(std::string_view text, std::vector<std::int32_t>& ids) const {
    const std::int32_t id = tokens_.find(text);
    if (id >= 0) {
      ids.push_back(id);
    } else if (byte_fallback_ && bytes_.have(text)) {
      for (std::size_t i = text.size(); i-- > 0;) ids.push_back(bytes_.id(text[i]));
    } else {
      ids.push_back(unknown_id_);
    }
  }

  PrefixTrie tokens_;
  ByteTokens bytes_;
  std::vector<double> scores_;
  std::int32_t unknown_id_;
  bool byte_fallback_;
  double unknown_score_ = 0;
};

}  // namespace

std::unique_ptr<const SubwordModel> unigram_model(UnigramDefinition definition) {
  return std::make_unique<const Unigram>(definition);
}

}  // namespace nearlite
