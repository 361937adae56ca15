#include "pipeline_tokenizer.h"

#include <algorithm>

#include "code_points.h"
#include "nearlite/base/error.h"
#include "nearlite/base/utf8.h"

namespace nearlite {
namespace {

constexpr std::size_t kLeastWindow = 1024;  // bytes of a text that are looked at first
constexpr std::size_t kBytesPerToken = 6;   // more than most tokens have

bool is_alphanumeric(char byte) noexcept {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
         (byte >= '0' && byte <= '9');
}

/// A single space between ASCII letters or digits stands at `at`.
bool is_word_border(std::string_view text, std::size_t at) noexcept {
  return at > 0 && at + 1 < text.size() && text[at] == ' ' && is_alphanumeric(text[at - 1]) &&
         is_alphanumeric(text[at + 1]);
}

/// The last word border in [begin, end), or `begin` if there is none.
std::size_t last_word_border(std::string_view text, std::size_t begin, std::size_t end) noexcept {
  for (std::size_t at = end; at-- > begin;) {
    if (is_word_border(text, at)) return at;
  }
  return begin;
}

bool could_lie_across_word_border(std::string_view token) noexcept {
  for (std::size_t i = 1; i < token.size(); ++i) {
    if (token[i] == ' ' && is_alphanumeric(token[i - 1])) return true;
  }
  return false;
}

class PipelineTokenizer final : public Tokenizer {
 public:
  explicit PipelineTokenizer(PipelineDefinition definition)
      : definition_(std::move(definition)), raw_(matcher(false)), normalized_(matcher(true)) {
    can_cut_ = std::any_of(definition_.pre_tokenizers.begin(), definition_.pre_tokenizers.end(),
                           [](const auto& step) { return step->separates_words(); });
    for (const auto& step : definition_.pre_tokenizers) can_cut_ = can_cut_ && step->is_local();
    for (const auto& step : definition_.normalizers) {
      can_cut_ = can_cut_ && step->is_local();
      cuts_begin_ = cuts_begin_ || step->cuts_begin();
    }
    for (const AddedToken& token : definition_.added_tokens) {
      const std::string content = token.normalized ? normalized(token.content) : token.content;
      can_cut_ = can_cut_ && !could_lie_across_word_border(content);
    }
    definition_.added_tokens = {};
  }

  TokenizedText tokenize(std::string_view text, std::size_t max_tokens) const override {
    if (max_tokens <= num_special_tokens()) {
      throw InvalidArgument("a limit of " + std::to_string(max_tokens) +
                            " tokens leaves no room beside the " +
                            std::to_string(num_special_tokens()) + " special tokens");
    }
    const auto& before = definition_.ids_before;
    const auto& behind = definition_.ids_behind;
    const std::size_t most = before.size() + max_tokens - num_special_tokens();
    TokenizedText result;
    result.ids = before;
    Reading(*this, text, most + 1, result.ids).run();
    if (result.ids.size() > most) {
      result.truncated = true;
      result.ids.resize(most);
    }
    result.ids.insert(result.ids.end(), behind.begin(), behind.end());
    return result;
  }

  std::size_t count(std::string_view text, std::size_t limit) const override {
    std::vector<std::int32_t> ids;
    Reading(*this, text, limit, ids).run();
    return std::min(ids.size(), limit);
  }

  std::size_t num_special_tokens() const noexcept override {
    return definition_.ids_before.size() + definition_.ids_behind.size();
  }
  std::size_t vocabulary_size() const noexcept override { return definition_.vocabulary_size; }
  std::optional<std::int32_t> unknown_id() const noexcept override {
    return definition_.unknown_id;
  }
  const TokenizerParts& parts() const noexcept override { return definition_.parts; }

 private:
  /// Appends the ids of one text until there are `enough`, or a few more.
  class Reading {
   public:
    Reading(const PipelineTokenizer& tokenizer, std::string_view text, std::size_t enough,
            std::vector<std::int32_t>& ids)
        : tokenizer_(tokenizer), text_(text), enough_(enough), ids_(ids) {}

    /// Cuts raw added tokens out and reads the pieces between them. Of a long piece its beginning
    /// is read first, up to a word border, then twice as much, and so on.
    void run() {
      std::size_t begin = 0;        // of the piece
      std::size_t find_from = 0;    // behind the last added token, without the space it took along
      std::size_t white_until = 0;  // behind the last white space that a token took along
      std::size_t window = first_window();
      while (!is_full()) {
        const std::size_t window_end = end_of_window(std::max(begin, find_from), window);
        const auto match = tokenizer_.raw_.find(text_, find_from, window_end);
        const bool is_whole = match || window_end == text_.size();
        std::size_t end = window_end;
        if (match) {
          const std::size_t from = std::min(begin, match->begin);
          end = match->token->lstrip ? white_space_begin(text_, from, match->begin) : match->begin;
        } else if (!is_whole) {
          end = last_word_border(text_, begin, window_end);
        }
        const std::size_t num_before = ids_.size();
        if (begin < end) read_piece(begin, end);
        if (is_full()) return;
        if (!is_whole) {
          ids_.resize(num_before);
          window *= 2;
          continue;
        }
        if (!match) return;
        find_from = match->end;
        std::size_t after = match->end;
        if (match->token->rstrip) {
          after = white_until = white_space_end(text_, std::max(match->end, white_until));
        }
        if (!match->token->lstrip || after > begin) ids_.push_back(match->token->id);
        begin = after;
        window = first_window();
      }
    }

   private:
    bool is_full() const noexcept { return ids_.size() >= enough_; }

    std::size_t first_window() const noexcept {
      const std::size_t missing = std::min(enough_ - ids_.size(), text_.size());
      return std::max(kLeastWindow, kBytesPerToken * missing);
    }
    std::size_t end_of_window(std::size_t from, std::size_t window) const noexcept {
      if (!tokenizer_.can_cut_) return text_.size();
      return window < text_.size() - std::min(from, text_.size()) ? from + window : text_.size();
    }

    void read_piece(std::size_t begin, std::size_t end) {
      const std::string_view piece = text_.substr(begin, end - begin);
      if (const auto bad = find_invalid_utf8(piece)) throw_invalid_utf8(piece, *bad, begin);
      const std::string normalized = tokenizer_.normalized(piece);
      const bool is_first =
          begin == 0 && !(tokenizer_.cuts_begin_ && white_space_end(piece, 0) > 0);
      const AddedTokenMatcher& added = tokenizer_.normalized_;
      std::size_t at = 0;
      std::size_t find_from = 0;
      std::size_t white_until = 0;
      while (!is_full()) {
        const auto match = added.find(normalized, find_from, normalized.size());
        std::size_t part_end = normalized.size();
        if (match) {
          const std::size_t from = std::min(at, match->begin);
          part_end = match->token->lstrip ? white_space_begin(normalized, from, match->begin)
                                          : match->begin;
        }
        if (at < part_end) {
          read_part(std::string_view(normalized).substr(at, part_end - at), is_first && at == 0);
        }
        if (!match || is_full()) return;
        find_from = match->end;
        std::size_t after = match->end;
        if (match->token->rstrip) {
          after = white_until = white_space_end(normalized, std::max(match->end, white_until));
        }
        if (!match->token->lstrip || after > at) ids_.push_back(match->token->id);
        at = after;
      }
    }

    void read_part(std::string_view part, bool is_first) {
      words_.text = part;
      words_.words.assign(1, {0, part.size(), is_first});
      for (const auto& step : tokenizer_.definition_.pre_tokenizers) {
        step->apply(words_, word_scratch_);
      }
      for (const Words::Word& word : words_.words) {
        tokenizer_.definition_.model->append_ids(
            std::string_view(words_.text).substr(word.begin, word.end - word.begin), model_scratch_,
            ids_);
        if (is_full()) return;
      }
    }

    const PipelineTokenizer& tokenizer_;
    const std::string_view text_;
    const std::size_t enough_;
    std::vector<std::int32_t>& ids_;
    Words words_;
    WordScratch word_scratch_;
    ModelScratch model_scratch_;
  };

  std::string normalized(std::string_view text) const {
    std::string result(text);
    for (const auto& step : definition_.normalizers) result = step->apply(std::move(result));
    return result;
  }

  AddedTokenMatcher matcher(bool is_normalized) const {
    std::vector<AddedToken> tokens;
    for (const AddedToken& token : definition_.added_tokens) {
      if (token.normalized != is_normalized) continue;
      tokens.push_back(token);
      if (!is_normalized) continue;
      tokens.back().content = normalized(token.content);
      if (tokens.back().content.empty()) {
        throw CorruptData("nothing is left of the added token with id " + std::to_string(token.id) +
                          " once it is normalized; it would match everywhere");
      }
    }
    return AddedTokenMatcher(std::move(tokens));
  }

  PipelineDefinition definition_;
  AddedTokenMatcher raw_;
  AddedTokenMatcher normalized_;
  bool can_cut_ = false;     // at word borders, without a change of what stands before them
  bool cuts_begin_ = false;  // a normalizer drops white space at the beginning
};

}  // namespace

std::unique_ptr<const Tokenizer> make_pipeline_tokenizer(PipelineDefinition definition) {
  return std::make_unique<const PipelineTokenizer>(std::move(definition));
}

}  // namespace nearlite
