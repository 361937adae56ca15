#include "keyword_tokenizer.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <span>
#include <string_view>

#include "keyword_rank.h"
#include "nearlite/base/error.h"
#include "nearlite/base/utf8.h"
#include "nearlite/store/connection.h"
#include "nearlite/store/keywords.h"

namespace nearlite {
namespace {

struct CodeRange {
  char32_t first;
  char32_t last;
};
// Scripts that are written without spaces between words, and Hangul, whose words carry particles.
constexpr std::array kPairedScripts = {
    CodeRange{0x0E00, 0x0EFF},    // Thai, Lao
    CodeRange{0x1000, 0x109F},    // Myanmar
    CodeRange{0x1100, 0x11FF},    // Hangul Jamo
    CodeRange{0x1780, 0x17FF},    // Khmer
    CodeRange{0x3005, 0x3007},    // ideographic iteration mark to zero
    CodeRange{0x3040, 0x30FF},    // Hiragana, Katakana
    CodeRange{0x3130, 0x318F},    // Hangul compatibility Jamo
    CodeRange{0x31F0, 0x31FF},    // Katakana extensions
    CodeRange{0x3400, 0x4DBF},    // CJK extension A
    CodeRange{0x4E00, 0x9FFF},    // CJK
    CodeRange{0xAC00, 0xD7AF},    // Hangul syllables
    CodeRange{0xF900, 0xFAFF},    // CJK compatibility
    CodeRange{0xFF66, 0xFFDC},    // half-width Katakana and Hangul
    CodeRange{0x20000, 0x3FFFF},  // further CJK extensions
};

bool is_paired(char32_t c) {
  if (c < kPairedScripts.front().first || c == 0x30FB) return false;  // 30FB: middle dot
  return std::ranges::any_of(
      kPairedScripts, [c](const CodeRange& range) { return c >= range.first && c <= range.last; });
}

using TokenCallback = int (*)(void*, int, const char*, int, int, int);

/// A tokenizer of one connection: hands words to porter, pairs characters itself.
struct Tokenizer {
  fts5_tokenizer porter{};
  Fts5Tokenizer* words = nullptr;

  ~Tokenizer() {
    if (words != nullptr) porter.xDelete(words);
  }
};

/// Tokens of a part of the text, with their places in the whole.
struct Shifted {
  void* context;
  TokenCallback token;
  int offset;

  static int forward(void* self, int flags, const char* text, int size, int begin, int end) {
    const auto& shifted = *static_cast<Shifted*>(self);
    return shifted.token(shifted.context, flags, text, size, begin + shifted.offset,
                         end + shifted.offset);
  }
};

/// The code points of `text` [begin, end) as pairs. A document also has each first character of a
/// pair at the same position, so that a question of one character finds it.
int emit_pairs(std::string_view text, std::size_t begin, std::size_t end, bool is_query,
               void* context, TokenCallback token) {
  const auto emit = [&](int flags, std::size_t from, std::size_t to) {
    return token(context, flags, text.data() + from, static_cast<int>(to - from),
                 static_cast<int>(from), static_cast<int>(to));
  };
  std::size_t first = begin;
  std::size_t second = begin;
  next_code_point(text, second);
  if (second >= end) return emit(0, begin, end);
  while (second < end) {
    std::size_t after = second;
    next_code_point(text, after);
    if (const int code = emit(0, first, after); code != SQLITE_OK) return code;
    if (!is_query) {
      if (const int code = emit(FTS5_TOKEN_COLOCATED, first, second); code != SQLITE_OK)
        return code;
    }
    first = second;
    second = after;
  }
  return is_query ? SQLITE_OK : emit(0, first, end);
}

int create(void* api_pointer, const char** /*arguments*/, int /*count*/, Fts5Tokenizer** made) {
  auto* api = static_cast<fts5_api*>(api_pointer);
  auto tokenizer = std::unique_ptr<Tokenizer>(new (std::nothrow) Tokenizer);
  if (!tokenizer) return SQLITE_NOMEM;
  void* context = nullptr;
  if (const int code = api->xFindTokenizer(api, "porter", &context, &tokenizer->porter);
      code != SQLITE_OK) {
    return code;
  }
  std::array<const char*, 3> arguments = {"unicode61", "remove_diacritics", "2"};
  if (const int code = tokenizer->porter.xCreate(
          context, arguments.data(), static_cast<int>(arguments.size()), &tokenizer->words);
      code != SQLITE_OK) {
    return code;
  }
  *made = reinterpret_cast<Fts5Tokenizer*>(tokenizer.release());
  return SQLITE_OK;
}

void destroy(Fts5Tokenizer* tokenizer) { delete reinterpret_cast<Tokenizer*>(tokenizer); }

int tokenize(Fts5Tokenizer* self, void* context, int flags, const char* bytes, int size,
             TokenCallback token) {
  auto& tokenizer = *reinterpret_cast<Tokenizer*>(self);
  const std::string_view text(bytes, static_cast<std::size_t>(size));
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = begin;
    const bool paired = is_paired(next_code_point(text, end));
    while (end < text.size()) {
      std::size_t after = end;
      if (is_paired(next_code_point(text, after)) != paired) break;
      end = after;
    }
    int code = SQLITE_OK;
    if (paired) {
      code = emit_pairs(text, begin, end, (flags & FTS5_TOKENIZE_QUERY) != 0, context, token);
    } else {
      Shifted shifted{context, token, static_cast<int>(begin)};
      code = tokenizer.porter.xTokenize(tokenizer.words, &shifted, flags, bytes + begin,
                                        static_cast<int>(end - begin), &Shifted::forward);
    }
    if (code != SQLITE_OK) return code;
    begin = end;
  }
  return SQLITE_OK;
}

/// Null where this SQLite was built without FTS5. Any other failure is an error: a sidecar opened
/// as if there were no words would leave those of removed records behind.
fts5_api* api_of(sqlite3* db) {
  sqlite3_stmt* raw = nullptr;
  int code = sqlite3_prepare_v2(db, "SELECT fts5(?1)", -1, &raw, nullptr);
  if (code == SQLITE_ERROR) return nullptr;  // no such function
  fts5_api* api = nullptr;
  if (code == SQLITE_OK) {
    code = sqlite3_bind_pointer(raw, 1, static_cast<void*>(&api), "fts5_api_ptr", nullptr);
    if (code == SQLITE_OK) code = sqlite3_step(raw);
    sqlite3_finalize(raw);
  }
  if (code != SQLITE_ROW || api == nullptr) throw_sqlite(db, code, "cannot find SQLite's FTS5");
  return api;
}

}  // namespace

std::vector<std::string_view> keyword_pieces(std::string_view text) {
  std::vector<std::string_view> pieces;
  const auto is_word = [](char32_t c) {
    return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = begin;
    const char32_t first = next_code_point(text, end);
    if (!is_word(first)) {
      begin = end;
      continue;
    }
    const std::size_t second = end;
    while (end < text.size()) {
      std::size_t after = end;
      const char32_t c = next_code_point(text, after);
      if (!is_word(c) || is_paired(c) != is_paired(first)) break;
      end = after;
    }
    if (!is_paired(first) || second == end) {
      pieces.push_back(text.substr(begin, end - begin));
    } else {
      for (std::size_t at = begin, next = second; next < end;) {
        std::size_t after = next;
        next_code_point(text, after);
        pieces.push_back(text.substr(at, after - at));
        at = next;
        next = after;
      }
    }
    begin = end;
  }
  return pieces;
}

bool register_keywords(sqlite3* db) {
  fts5_api* api = api_of(db);
  if (api == nullptr) return false;
  fts5_tokenizer tokenizer{};
  tokenizer.xCreate = &create;
  tokenizer.xDelete = &destroy;
  tokenizer.xTokenize = &tokenize;
  int code = api->xCreateTokenizer(api, "nearlite", api, &tokenizer, nullptr);
  if (code == SQLITE_OK) {
    code = api->xCreateFunction(api, "nearlite_rank", nullptr, &keyword_rank, nullptr);
  }
  if (code != SQLITE_OK) throw_sqlite(db, code, "cannot register the tokenizer for keywords");
  return true;
}

}  // namespace nearlite
