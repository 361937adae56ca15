#include "nearlite/retrieval/question.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <vector>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "nearlite/base/utf8.h"
#include "nearlite/store/keywords.h"

namespace nearlite {
namespace {

// Sorted. Words of questions and the most common ones of texts.
constexpr auto kCommonWords = std::to_array<std::string_view>(
    {"a",     "about", "an",   "and",  "any",   "are",  "as",   "at",    "be",    "been",
     "by",    "can",   "did",  "do",   "does",  "for",  "from", "had",   "has",   "have",
     "how",   "i",     "if",   "in",   "into",  "is",   "it",   "its",   "me",    "my",
     "of",    "on",    "or",   "so",   "than",  "that", "the",  "their", "then",  "there",
     "these", "this",  "to",   "was",  "we",    "were", "what", "when",  "where", "which",
     "who",   "why",   "will", "with", "would", "you",  "your"});
// Sorted. What errno may be, without the names that hold a digit, which are identifiers anyway.
constexpr auto kErrorNames = std::to_array<std::string_view>(
    {"EACCES",          "EADDRINUSE",      "EADDRNOTAVAIL", "EADV",
     "EAFNOSUPPORT",    "EAGAIN",          "EALREADY",      "EBADE",
     "EBADF",           "EBADFD",          "EBADMSG",       "EBADR",
     "EBADRQC",         "EBADSLT",         "EBFONT",        "EBUSY",
     "ECANCELED",       "ECHILD",          "ECHRNG",        "ECOMM",
     "ECONNABORTED",    "ECONNREFUSED",    "ECONNRESET",    "EDEADLK",
     "EDEADLOCK",       "EDESTADDRREQ",    "EDOM",          "EDOTDOT",
     "EDQUOT",          "EEXIST",          "EFAULT",        "EFBIG",
     "EHOSTDOWN",       "EHOSTUNREACH",    "EIDRM",         "EILSEQ",
     "EINPROGRESS",     "EINTR",           "EINVAL",        "EISCONN",
     "EISDIR",          "EISNAM",          "EKEYEXPIRED",   "EKEYREJECTED",
     "EKEYREVOKED",     "ELIBACC",         "ELIBBAD",       "ELIBEXEC",
     "ELIBMAX",         "ELIBSCN",         "ELNRNG",        "ELOOP",
     "EMEDIUMTYPE",     "EMFILE",          "EMLINK",        "EMSGSIZE",
     "EMULTIHOP",       "ENAMETOOLONG",    "ENAVAIL",       "ENETDOWN",
     "ENETRESET",       "ENETUNREACH",     "ENFILE",        "ENOANO",
     "ENOBUFS",         "ENOCSI",          "ENODATA",       "ENODEV",
     "ENOENT",          "ENOEXEC",         "ENOKEY",        "ENOLCK",
     "ENOLINK",         "ENOMEDIUM",       "ENOMEM",        "ENOMSG",
     "ENONET",          "ENOPKG",          "ENOPROTOOPT",   "ENOSPC",
     "ENOSR",           "ENOSTR",          "ENOSYS",        "ENOTBLK",
     "ENOTCONN",        "ENOTDIR",         "ENOTEMPTY",     "ENOTNAM",
     "ENOTRECOVERABLE", "ENOTSOCK",        "ENOTSUP",       "ENOTTY",
     "ENOTUNIQ",        "ENXIO",           "EOPNOTSUPP",    "EOVERFLOW",
     "EOWNERDEAD",      "EPERM",           "EPFNOSUPPORT",  "EPIPE",
     "EPROTO",          "EPROTONOSUPPORT", "EPROTOTYPE",    "ERANGE",
     "EREMCHG",         "EREMOTE",         "EREMOTEIO",     "ERESTART",
     "ERFKILL",         "EROFS",           "ESHUTDOWN",     "ESOCKTNOSUPPORT",
     "ESPIPE",          "ESRCH",           "ESRMNT",        "ESTALE",
     "ESTRPIPE",        "ETIME",           "ETIMEDOUT",     "ETOOMANYREFS",
     "ETXTBSY",         "EUCLEAN",         "EUNATCH",       "EUSERS",
     "EWOULDBLOCK",     "EXDEV",           "EXFULL"});
constexpr std::size_t kMaxWords = 64;  // of an expression; a longer question is cut
constexpr std::size_t kFewWords = 3;   // a number in so short a question is what is looked for
constexpr std::size_t kCodeDigits = 3;

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_alnum(char c) {
  return is_digit(c) || is_letter(c) || static_cast<unsigned char>(c) >= 0x80;
}

/// A phrase of FTS5: whatever stands inside is text.
std::string quoted(std::string_view text) {
  std::string phrase = "\"";
  for (const char c : text) {
    if (c == '"') phrase += '"';
    phrase += c == '\0' ? ' ' : c;
  }
  return phrase + "\"";
}

void append(std::string& expression, std::string_view op, const std::string& phrase) {
  if (!expression.empty()) expression.append(op);
  expression += phrase;
}

/// An expression of FTS5 that stays within the depth that it can parse: a text of a megabyte may
/// be full of identifiers.
class Expression {
 public:
  explicit Expression(std::string_view op) : op_(op) {}
  void add(std::string_view text) {
    if (count_++ < kMaxWords) append(expression_, op_, quoted(text));
  }
  const std::string& text() const { return expression_; }

 private:
  std::string_view op_;
  std::string expression_;
  std::size_t count_ = 0;
};

struct Part {
  std::string_view text;
  bool phrase = false;
  bool excluded = false;
};

/// Typographic quotation marks count as the plain ones.
std::string with_plain_quotes(std::string_view question) {
  std::string plain(question);
  for (const std::string_view mark : {"\u201c", "\u201d"}) {
    for (std::size_t at = plain.find(mark); at != std::string::npos; at = plain.find(mark, at))
      plain.replace(at, mark.size(), "\"");
  }
  return plain;
}

std::vector<Part> parts_of(std::string_view question) {
  std::vector<Part> parts;
  for (std::size_t at = 0; at < question.size();) {
    if (is_space(question[at])) {
      ++at;
      continue;
    }
    Part part;
    // "-5" is a number and "--all" an option: neither leaves anything out.
    if (question[at] == '-' && at + 1 < question.size() &&
        (question[at + 1] == '"' || (is_alnum(question[at + 1]) && !is_digit(question[at + 1])))) {
      part.excluded = true;
      ++at;
    }
    if (question[at] == '"') {
      const std::size_t end = question.find('"', at + 1);
      if (end != std::string_view::npos) {
        part.text = question.substr(at + 1, end - at - 1);
        part.phrase = true;
        at = end + 1;
        parts.push_back(part);
        continue;
      }
    }
    const std::size_t begin = at;
    while (at < question.size() && !is_space(question[at]) && (at == begin || question[at] != '"'))
      ++at;
    part.text = question.substr(begin, at - begin);
    parts.push_back(part);
  }
  return parts;
}

/// Without what surrounds a word in a sentence: (E0432), -> E0432
std::string_view trimmed(std::string_view piece) {
  while (!piece.empty() && !is_alnum(piece.front()) && piece.front() != '_') piece.remove_prefix(1);
  while (!piece.empty() && !is_alnum(piece.back()) && piece.back() != '_') piece.remove_suffix(1);
  return piece;
}

/// The words of the question, each once, common ones only if there are no others.
std::string words_expression(const std::vector<Part>& parts) {
  std::vector<std::string> telling;
  std::vector<std::string> common;
  for (const Part& part : parts) {
    if (part.excluded) continue;
    for (const std::string_view piece : keyword_pieces(part.text)) {
      std::string word = to_lower_ascii(piece);
      auto& words = is_common_word(word) ? common : telling;
      if (words.size() < kMaxWords && std::ranges::find(words, word) == words.end())
        words.push_back(std::move(word));
    }
  }
  std::string expression;
  for (const std::string& word : telling.empty() ? common : telling)
    append(expression, " OR ", quoted(word));
  return expression;
}

/// 3d, 2nd, 10ms, 1990s: digits and then at most two letters.
bool is_measure(std::string_view piece) {
  const auto letters =
      static_cast<std::size_t>(std::ranges::find_if_not(piece, is_digit) - piece.begin());
  return letters > 0 && piece.size() - letters <= 2 &&
         std::ranges::all_of(piece.substr(letters), is_letter);
}

}  // namespace

bool is_common_word(std::string_view word) {
  return std::ranges::binary_search(kCommonWords, word);
}

bool is_identifier(std::string_view piece) {
  bool digit = false;
  bool letter = false;
  for (const char c : piece) {
    digit = digit || is_digit(c);
    letter = letter || is_letter(c);
  }
  if (!letter) return false;
  if (std::ranges::binary_search(kErrorNames, piece)) return true;
  if (piece.find('_') != std::string_view::npos || piece.find("::") != std::string_view::npos)
    return true;
  if (digit) return !is_measure(piece);
  // foo.bar, but neither "e.g" nor two sentences without a space between: "end.The"
  const std::size_t dot = piece.find('.');
  return dot != std::string_view::npos && dot >= 2 && dot + 2 < piece.size() &&
         !std::isupper(static_cast<unsigned char>(piece[dot + 1]));
}

Question parse_question(std::string_view question) {
  if (const auto at = find_invalid_utf8(question)) {
    throw InvalidArgument("the question is not valid UTF-8 (byte " + std::to_string(*at) + ")");
  }
  const std::string plain = with_plain_quotes(question);
  const std::vector<Part> parts = parts_of(plain);
  if (parts.empty()) throw InvalidArgument("the question is blank");
  Question parsed;
  Expression excluded(" OR ");
  Expression phrases(" AND ");
  Expression exact(" OR ");
  for (const Part& part : parts) {
    if (part.excluded) {
      excluded.add(part.text);
      continue;
    }
    append(parsed.text, " ", std::string(part.text));
    const std::string_view piece = trimmed(part.text);
    const bool code = parts.size() <= kFewWords && piece.size() >= kCodeDigits &&
                      std::ranges::all_of(piece, is_digit);
    const bool says_something = !keyword_pieces(part.text).empty();
    if (part.phrase && says_something) phrases.add(part.text);
    if ((part.phrase && says_something) || code || is_identifier(piece))
      exact.add(part.phrase ? part.text : piece);
  }
  parsed.excluded = excluded.text();
  parsed.phrases = phrases.text();
  parsed.exact = exact.text();
  if (std::ranges::all_of(parsed.text, is_space)) {
    throw InvalidArgument(
        parsed.excluded.empty() ? "the question is blank" : "the question only leaves out words",
        "say also what to look for");
  }
  parsed.words = words_expression(parts);
  return parsed;
}

}  // namespace nearlite
