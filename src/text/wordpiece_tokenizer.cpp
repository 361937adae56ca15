#include "wordpiece_tokenizer.h"

#include <algorithm>

#include "code_points.h"
#include "nearlite/base/error.h"
#include "normalize.h"
#include "word_reader.h"

namespace nearlite {
namespace {

constexpr std::size_t kFirstWindow =
    4096;  // bytes normalized at first when normalized text is searched

AddedTokenMatcher raw_matcher(const std::vector<AddedToken>& tokens) {
  std::vector<AddedToken> raw;
  std::copy_if(tokens.begin(), tokens.end(), std::back_inserter(raw),
               [](const auto& t) { return !t.normalized; });
  return AddedTokenMatcher(std::move(raw));
}

AddedTokenMatcher normalized_matcher(const std::vector<AddedToken>& tokens,
                                     const CharacterMap& characters) {
  std::vector<AddedToken> normalized;
  for (const AddedToken& token : tokens) {
    if (!token.normalized) continue;
    normalized.push_back(token);
    normalized.back().content = normalize(token.content, characters).text;
    if (normalized.back().content.empty()) {
      throw CorruptData("nothing is left of the added token with id " + std::to_string(token.id) +
                        " once it is normalized; it would match everywhere");
    }
  }
  return AddedTokenMatcher(std::move(normalized));
}

/// The largest character border of `text` that is at most `at`.
std::size_t character_border(std::string_view text, std::size_t at) {
  if (at >= text.size()) return text.size();
  for (int i = 0; i < 3 && at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U; ++i)
    --at;
  return at;
}

class WordPieceTokenizer final : public Tokenizer {
 public:
  explicit WordPieceTokenizer(WordPieceDefinition definition)
      : parts_(std::move(definition.parts)),
        before_(std::move(definition.ids_before)),
        behind_(std::move(definition.ids_behind)),
        vocabulary_(definition.vocabulary, definition.continuation, definition.unknown_id),
        raw_added_(raw_matcher(definition.added_tokens)),
        raw_words_(definition.normalizer, vocabulary_, raw_added_, definition.max_word_characters),
        normalized_added_(normalized_matcher(definition.added_tokens, raw_words_.characters())),
        normalized_words_(NormalizerOptions{}, vocabulary_, normalized_added_,
                          definition.max_word_characters) {
    std::int32_t largest_id = 0;  // there is an unknown token at least
    for (const auto& entry : definition.vocabulary) largest_id = std::max(largest_id, entry.id);
    for (const auto& token : definition.added_tokens) largest_id = std::max(largest_id, token.id);
    vocabulary_size_ = static_cast<std::size_t>(largest_id) + 1;
  }

  TokenizedText tokenize(std::string_view text, std::size_t max_tokens) const override {
    if (max_tokens <= num_special_tokens()) {
      throw InvalidArgument("a limit of " + std::to_string(max_tokens) +
                            " tokens leaves no room beside the " +
                            std::to_string(num_special_tokens()) + " special tokens");
    }
    const std::size_t room = max_tokens - num_special_tokens();
    TokenizedText result;
    result.ids.reserve(std::min(room + 16, text.size() / 3 + 16) + num_special_tokens());
    result.ids = before_;
    read(text, before_.size() + room + 1, result.ids);
    if (result.ids.size() > before_.size() + room) {
      result.truncated = true;
      result.ids.resize(before_.size() + room);
    }
    result.ids.insert(result.ids.end(), behind_.begin(), behind_.end());
    return result;
  }

  std::size_t count(std::string_view text, std::size_t limit) const override {
    std::vector<std::int32_t> ids;
    read(text, limit, ids);
    return std::min(ids.size(), limit);
  }

  std::size_t num_special_tokens() const noexcept override {
    return before_.size() + behind_.size();
  }
  std::size_t vocabulary_size() const noexcept override { return vocabulary_size_; }
  std::optional<std::int32_t> unknown_id() const noexcept override {
    return vocabulary_.unknown_id();
  }
  const TokenizerParts& parts() const noexcept override { return parts_; }

 private:
  /// Appends the ids of `text` until there are `enough` in `ids`, or a few more.
  void read(std::string_view text, std::size_t enough, std::vector<std::int32_t>& ids) const {
    if (normalized_added_.empty()) {
      WordReader(raw_words_, enough, ids).read(text, text.size());
    } else {
      read_in_two_steps(text, enough, ids);
    }
  }

  /// The way of tokenizers that look for added tokens in normalized text: cut raw ones out,
  /// normalize what is between them, and read that. So as not to normalize a long text of which
  /// little is needed, a piece is tried with a part of it first, then with twice as much.
  void read_in_two_steps(std::string_view text, std::size_t enough,
                         std::vector<std::int32_t>& ids) const {
    std::size_t begin = 0;  // of the piece
    std::size_t find_from =
        0;  // behind the last added token, without the white space that it took along
    std::size_t white_until = 0;  // behind the last white space that a token took along
    std::size_t window = kFirstWindow;
    while (ids.size() < enough) {
      const std::size_t window_end = character_border(text, std::max(begin, find_from) + window);
      const auto match = raw_added_.find(text, find_from, window_end);
      const bool is_whole = match || window_end == text.size();
      std::size_t end = window_end;
      if (match) {
        const std::size_t from = std::min(begin, match->begin);
        end = match->token->lstrip ? white_space_begin(text, from, match->begin) : match->begin;
      } else if (!is_whole) {  // this white space may belong to an added token behind the window
        end = white_space_begin(text, begin, window_end);
      }
      const std::size_t num_before = ids.size();
      if (begin < end) read_piece(text.substr(begin, end - begin), is_whole, begin, enough, ids);
      if (ids.size() >= enough) return;
      if (!is_whole) {
        ids.resize(num_before);
        window *= 2;
        continue;
      }
      if (!match) return;
      find_from = match->end;
      std::size_t after = match->end;
      if (match->token->rstrip)
        after = white_until = white_space_end(text, std::max(match->end, white_until));
      if (!match->token->lstrip || after > begin) ids.push_back(match->token->id);
      begin = after;
      window = kFirstWindow;
    }
  }

  void read_piece(std::string_view piece, bool is_whole, std::size_t offset, std::size_t enough,
                  std::vector<std::int32_t>& ids) const {
    const NormalizedText normalized = normalize(piece, raw_words_.characters(), offset);
    std::size_t stop = normalized.text.size();
    if (!is_whole) {  // an added token, and the character behind it, could reach into text that is
                      // not there yet
      const std::size_t margin = normalized_added_.longest_token() + 4;
      stop = normalized.safe_size > margin ? normalized.safe_size - margin : 0;
    }
    WordReader(normalized_words_, enough, ids).read(normalized.text, stop);
  }

  TokenizerParts parts_;
  std::vector<std::int32_t> before_;
  std::vector<std::int32_t> behind_;
  Vocabulary vocabulary_;
  AddedTokenMatcher raw_added_;
  WordModel raw_words_;
  AddedTokenMatcher normalized_added_;
  WordModel normalized_words_;
  std::size_t vocabulary_size_ = 0;
};

}  // namespace

std::unique_ptr<const Tokenizer> make_wordpiece_tokenizer(WordPieceDefinition definition) {
  return std::make_unique<const WordPieceTokenizer>(std::move(definition));
}

}  // namespace nearlite
