// What the fuzzers run, and the replay test with their corpora: whatever comes in, the answer is
// right or an error of ours.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/base/error.h"
#include "nearlite/base/utf8.h"
#include "nearlite/model/weights.h"
#include "nearlite/text/tokenizer.h"
#include "nearlite_test/temporary_folder.h"

namespace nearlite::fuzz {

inline void require(bool holds) {
  if (!holds) std::abort();
}

/// A file with this content, in memory where there is such a place; the same one every time.
inline std::filesystem::path file_of(const char* name, std::string_view content) {
  static const TemporaryFolder folder(FolderPlace::kMemory);
  const std::filesystem::path file = folder / name;
  std::ofstream(file, std::ios::binary | std::ios::trunc) << content;
  return file;
}

/// The bytes as model.safetensors: every tensor is read whole.
inline void safetensors(std::string_view bytes) {
  const auto folder = file_of("model.safetensors", bytes).parent_path();
  try {
    const Weights weights(folder);
    for (const std::string& name : weights.names_of_all()) {
      if (!weights.has(name)) continue;
      std::size_t count = 1;
      for (const std::size_t size : weights.shape(name)) count *= size;
      require(weights.read(name, weights.shape(name)).size() == count);
    }
  } catch (const Error&) {  // refused
  }
}

/// All that is promised about one text.
inline void tokenize(const Tokenizer& tokenizer, std::string_view text) {
  constexpr std::size_t kPlenty = 1'000'000;
  const std::size_t special = tokenizer.num_special_tokens();
  try {
    const TokenizedText whole = tokenizer.tokenize(text, kPlenty);
    require(!whole.truncated && whole.ids.size() >= special);
    for (const std::int32_t id : whole.ids) {
      require(id >= 0 && static_cast<std::size_t>(id) < tokenizer.vocabulary_size());
    }
    require(tokenizer.count(text, kPlenty) == whole.ids.size() - special);
    for (const std::size_t limit : {special + 1, special + 5}) {
      const TokenizedText cut = tokenizer.tokenize(text, limit);
      require(cut.ids.size() == std::min(limit, whole.ids.size()));
      require(cut.truncated == (whole.ids.size() > limit));
    }
    require(!find_invalid_utf8(text));
  } catch (const InvalidArgument&) {
    require(find_invalid_utf8(text).has_value());
  }
}

/// The bytes as tokenizer.json; one that is taken reads some text.
inline void tokenizer_json(std::string_view bytes) {
  try {
    const auto tokenizer = load_tokenizer(file_of("tokenizer.json", bytes));
    tokenize(*tokenizer, "Hello, W\u00f6rld! \u4e16\u754c <mask> [SEP] 25  x");
  } catch (const CorruptData&) {  // refused
  }
}

/// The tokenizers of src/text/testdata/tokenizer_types.json, in its order, and others like them.
using Tokenizers = std::vector<std::unique_ptr<const Tokenizer>>;
Tokenizers all_tokenizers();

/// The first byte chooses the tokenizer, the rest is a text.
inline void tokenize_any(const Tokenizers& tokenizers, std::string_view bytes) {
  if (bytes.empty()) return;
  const auto chosen = static_cast<unsigned char>(bytes[0]) % tokenizers.size();
  tokenize(*tokenizers[chosen], bytes.substr(1));
}

}  // namespace nearlite::fuzz
