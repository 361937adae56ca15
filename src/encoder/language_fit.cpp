#include "nearlite/encoder/language_fit.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "nearlite/base/names.h"
#include "nearlite/base/utf8.h"

namespace nearlite {
namespace {

constexpr std::size_t kLookedAt = 2000;        // bytes of a text
constexpr double kManyOtherLetters = 0.3;      // less is quotations and names
constexpr double kManyUnknown = 0.1;           // BERT's English vocabulary: 0.2 to 0.5 on Chinese
constexpr double kSpelledOut = 0.75;           // multilingual vocabularies: 0.2 to 0.4 on Cyrillic
constexpr double kSpelledOutIdeographs = 1.3;  // one token per ideograph is usual
constexpr const char* kMultilingual = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2";

enum class Letter { kNone, kLatin, kOther, kIdeograph };

Letter letter_of(char32_t code) {
  if (code < 0xC0) {
    const bool is_letter = (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
    return is_letter ? Letter::kLatin : Letter::kNone;
  }
  if (code < 0x250 || (code >= 0x1E00 && code < 0x1F00)) return Letter::kLatin;
  if (code < 0x370) return Letter::kNone;
  if (code < 0x2000) return Letter::kOther;
  const bool is_kana_or_hangul =
      (code >= 0x3041 && code < 0x3130) || (code >= 0xAC00 && code < 0xD7B0);
  const bool is_ideograph = (code >= 0x3400 && code < 0xA000) ||
                            (code >= 0xF900 && code < 0xFB00) ||
                            (code >= 0x20000 && code < 0x40000);
  return is_kana_or_hangul || is_ideograph ? Letter::kIdeograph : Letter::kNone;
}

struct Letters {
  std::size_t latin = 0;
  std::size_t other = 0;
  std::size_t ideographs = 0;
  std::size_t all_other() const { return other + ideographs; }
};

Letters count_letters(std::string_view text) {
  Letters letters;
  for (std::size_t at = 0; at < text.size();) {
    switch (letter_of(next_code_point(text, at))) {
      case Letter::kLatin:
        ++letters.latin;
        break;
      case Letter::kOther:
        ++letters.other;
        break;
      case Letter::kIdeograph:
        ++letters.ideographs;
        break;
      case Letter::kNone:
        break;
    }
  }
  return letters;
}

/// Languages written in other scripts than Latin, as far as models are published for them.
constexpr std::array<std::string_view, 32> kOtherScripts = {
    "am", "ar", "be", "bg", "bn", "el", "fa", "gu", "he", "hi", "hy", "ja", "ka", "kk", "km", "kn",
    "ko", "lo", "mk", "ml", "mn", "mr", "my", "ne", "ru", "sr", "ta", "te", "th", "uk", "ur", "zh"};

/// Whether the model's card names languages, all of them written in Latin letters.
bool is_latin_only(const std::vector<std::string>& languages) {
  return !languages.empty() && std::ranges::all_of(languages, [](const std::string& language) {
    return language != "multilingual" &&
           std::ranges::find(kOtherScripts, language.substr(0, 2)) == kOtherScripts.end();
  });
}

std::string percent(double share) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "%.0f %%", 100 * share);
  return text.data();
}

}  // namespace

LanguageFit language_fit(const TextEncoder& encoder, std::span<const std::string_view> texts) {
  const std::optional<std::int32_t> unknown_id = encoder.unknown_token();
  const std::size_t num_special = encoder.tokenize("").ids.size();
  Letters all;
  Letters seen;  // in texts that are not in Latin letters
  std::size_t tokens = 0;
  std::size_t unknown = 0;
  for (const std::string_view whole : texts) {
    const std::string_view text = utf8_prefix(whole, kLookedAt);
    const Letters letters = count_letters(text);
    all.latin += letters.latin;
    all.other += letters.other;
    all.ideographs += letters.ideographs;
    if (letters.all_other() <= letters.latin) continue;
    const TokenizedText tokenized = encoder.tokenize(text);
    if (tokenized.truncated) continue;  // its letters and tokens do not belong together
    seen.other += letters.other;
    seen.ideographs += letters.ideographs;
    tokens += tokenized.ids.size() - std::min(num_special, tokenized.ids.size());
    if (unknown_id) {
      unknown += static_cast<std::size_t>(std::ranges::count(tokenized.ids, *unknown_id));
    }
  }
  LanguageFit fit;
  const auto share = [](std::size_t part, std::size_t whole) {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
  };
  fit.other_letters = share(all.all_other(), all.latin + all.all_other());
  fit.unknown_tokens = share(unknown, tokens);
  fit.tokens_per_letter = share(tokens, seen.all_other());
  if (fit.other_letters < kManyOtherLetters) return fit;
  const double spelled_out = seen.ideographs > seen.other ? kSpelledOutIdeographs : kSpelledOut;
  const auto& languages = encoder.info().languages;
  std::string reason;
  if (fit.unknown_tokens >= kManyUnknown) {
    reason = percent(fit.unknown_tokens) + " of their tokens are unknown to it";
  } else if (fit.tokens_per_letter >= spelled_out) {
    reason = "it spells their words letter by letter";
  } else if (is_latin_only(languages)) {
    reason = "its languages are " + join_names(languages);
  } else {
    return fit;
  }
  fit.warning = "the model " + encoder.info().name +
                " does not fit these texts: " + percent(fit.other_letters) +
                " of their letters are not Latin, and " + reason + "; a multilingual model is " +
                kMultilingual;
  return fit;
}

}  // namespace nearlite
