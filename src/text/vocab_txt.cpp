#include <algorithm>
#include <string>
#include <unordered_map>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/utf8.h"
#include "nearlite/text/tokenizer.h"
#include "wordpiece_tokenizer.h"

namespace nearlite {
namespace {

constexpr std::uint64_t kMaxFileBytes = std::uint64_t{64} << 20U;
constexpr std::size_t kMaxVocabulary = std::size_t{1} << 20U;
constexpr std::size_t kMaxTokenBytes = 1024;

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& message) {
  throw CorruptData("vocabulary " + file.string() + ": " + message);
}

/// One token per line; the number of the line, from 0, is the id. Of a token that is there twice
/// the later id counts.
std::vector<VocabularyEntry> read_lines(const std::filesystem::path& file) {
  const std::string text = read_file(file, kMaxFileBytes);
  if (const auto bad = find_invalid_utf8(text))
    fail(file, "it is not UTF-8 at byte " + std::to_string(*bad));
  std::vector<VocabularyEntry> entries;
  std::unordered_map<std::string, std::size_t> places;
  std::int32_t id = 0;
  for (std::size_t begin = 0; begin < text.size(); ++id) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string token = text.substr(begin, end - begin);
    begin = end + 1;
    if (!token.empty() && token.back() == '\r') token.pop_back();
    const std::string where = "line " + std::to_string(id + 1);
    if (token.size() > kMaxTokenBytes)
      fail(file, where + " is longer than " + std::to_string(kMaxTokenBytes) + " bytes");
    if (static_cast<std::size_t>(id) >= kMaxVocabulary) {
      fail(file, "it has more than " + std::to_string(kMaxVocabulary) + " lines");
    }
    if (token.empty()) continue;
    const auto [place, is_new] = places.emplace(token, entries.size());
    if (is_new) {
      entries.push_back({std::move(token), id});
    } else {
      entries[place->second].id = id;
    }
  }
  return entries;
}

}  // namespace

std::unique_ptr<const Tokenizer> load_vocab_tokenizer(const std::filesystem::path& vocab_txt,
                                                      bool lower_case) {
  WordPieceDefinition definition;
  definition.vocabulary = read_lines(vocab_txt);
  definition.normalizer = {.clean_text = true,
                           .handle_chinese_chars = true,
                           .strip_accents = lower_case,
                           .lower_case = lower_case};
  for (const char* name : {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"}) {
    const auto found = std::find_if(definition.vocabulary.begin(), definition.vocabulary.end(),
                                    [&](const auto& entry) { return entry.token == name; });
    if (found != definition.vocabulary.end())
      definition.added_tokens.push_back({.content = name, .id = found->id});
  }
  const auto id_of = [&](std::string_view name) {
    for (const AddedToken& token : definition.added_tokens) {
      if (token.content == name) return token.id;
    }
    fail(vocab_txt, "it has no " + std::string(name));
  };
  definition.unknown_id = id_of("[UNK]");
  definition.ids_before = {id_of("[CLS]")};
  definition.ids_behind = {id_of("[SEP]")};
  definition.parts = {.normalizers = {"BertNormalizer"},
                      .pre_tokenizers = {"BertPreTokenizer"},
                      .model = "WordPiece",
                      .post_processors = {"BertProcessing"}};
  return make_wordpiece_tokenizer(std::move(definition));
}

}  // namespace nearlite
