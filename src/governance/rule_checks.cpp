#include "rule_checks.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <string>

#include "nearlite/base/entropy.h"
#include "nearlite/base/names.h"

namespace nearlite {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_letter(char c) { return is_lower(c) || is_upper(c); }
bool is_word(char c) { return is_letter(c) || is_digit(c); }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

std::string_view part_of(std::string_view text, TextSpan span) {
  return text.substr(span.start, span.end - span.start);
}

/// The character before the match, or a line end.
char before(std::string_view text, TextSpan match) {
  return match.start == 0 ? '\n' : text[match.start - 1];
}
char after(std::string_view text, TextSpan match) {
  return match.end >= text.size() ? '\n' : text[match.end];
}

std::string digits_of(std::string_view text) {
  std::string digits;
  std::ranges::copy_if(text, std::back_inserter(digits), is_digit);
  return digits;
}

struct Classes {
  std::size_t lower = 0;
  std::size_t upper = 0;
  std::size_t digits = 0;
  std::size_t others = 0;
  std::size_t changes = 0;  // neighbors of different classes
};

Classes classes_of(std::string_view text) {
  Classes classes;
  int last = -1;
  for (const char c : text) {
    const int kind = is_lower(c) ? 0 : is_upper(c) ? 1 : is_digit(c) ? 2 : 3;
    ++(kind == 0   ? classes.lower
       : kind == 1 ? classes.upper
       : kind == 2 ? classes.digits
                   : classes.others);
    if (last >= 0 && kind != last) ++classes.changes;
    last = kind;
  }
  return classes;
}

// --- Numbers with check digits

bool starts_in(const std::string& digits, std::size_t length, int least, int most) {
  const int prefix = std::stoi(digits.substr(0, length));
  return prefix >= least && prefix <= most;
}

/// Issuer ranges in use and the lengths that belong to them.
bool is_card_number(const std::string& digits) {
  const std::size_t size = digits.size();
  if (digits[0] == '4') return size == 13 || size == 16 || size == 19;  // Visa
  if (starts_in(digits, 2, 51, 55) || starts_in(digits, 4, 2221, 2720)) return size == 16;
  if (starts_in(digits, 2, 34, 34) || starts_in(digits, 2, 37, 37)) return size == 15;  // Amex
  if (starts_in(digits, 3, 300, 305) || starts_in(digits, 2, 36, 36) ||
      starts_in(digits, 2, 38, 39)) {
    return size == 14 || size == 16;  // Diners
  }
  if (starts_in(digits, 4, 3528, 3589)) return size == 16;  // JCB
  if (starts_in(digits, 4, 6011, 6011) || starts_in(digits, 3, 644, 649) ||
      starts_in(digits, 2, 65, 65) || starts_in(digits, 2, 62, 62)) {
    return size >= 16 && size <= 19;  // Discover, UnionPay
  }
  return starts_in(digits, 2, 50, 50) || starts_in(digits, 2, 56, 58)
             ? size >= 12 && size <= 19  // Maestro
             : false;
}

std::optional<TextSpan> check_card(std::string_view text, TextSpan match) {
  const char next = after(text, match);
  const bool cut = is_word(next) || next == '_';
  // "4111-...-1111-7" and "4111111111111111.5" are other numbers.
  const bool goes_on = (next == '-' || next == '.' || next == ',' || next == '/') &&
                       match.end + 1 < text.size() && is_word(text[match.end + 1]);
  const std::string digits = digits_of(part_of(text, match));
  if (cut || goes_on || digits.size() < 12 || !is_card_number(digits) || !luhn_valid(digits))
    return std::nullopt;
  // 0000..., 1111... satisfy nothing that a person has.
  if (std::ranges::count(digits, digits[0]) == static_cast<std::ptrdiff_t>(digits.size()))
    return std::nullopt;
  return match;
}

std::optional<TextSpan> check_luhn(std::string_view text, TextSpan match) {
  return luhn_valid(digits_of(part_of(text, match))) ? std::optional(match) : std::nullopt;
}

struct IbanCountry {
  std::string_view code;
  std::size_t length;
};
constexpr IbanCountry kIbanCountries[] = {
    {"AD", 24}, {"AE", 23}, {"AL", 28}, {"AT", 20}, {"AZ", 28}, {"BA", 20}, {"BE", 16}, {"BG", 22},
    {"BH", 22}, {"BR", 29}, {"BY", 28}, {"CH", 21}, {"CR", 22}, {"CY", 28}, {"CZ", 24}, {"DE", 22},
    {"DK", 18}, {"DO", 28}, {"EE", 20}, {"EG", 29}, {"ES", 24}, {"FI", 18}, {"FO", 18}, {"FR", 27},
    {"GB", 22}, {"GE", 22}, {"GI", 23}, {"GL", 18}, {"GR", 27}, {"GT", 28}, {"HR", 21}, {"HU", 28},
    {"IE", 22}, {"IL", 23}, {"IQ", 23}, {"IS", 26}, {"IT", 27}, {"JO", 30}, {"KW", 30}, {"KZ", 20},
    {"LB", 28}, {"LC", 32}, {"LI", 21}, {"LT", 20}, {"LU", 20}, {"LV", 21}, {"LY", 25}, {"MC", 27},
    {"MD", 24}, {"ME", 22}, {"MK", 19}, {"MR", 27}, {"MT", 31}, {"MU", 30}, {"NL", 18}, {"NO", 15},
    {"PK", 24}, {"PL", 28}, {"PS", 29}, {"PT", 25}, {"QA", 29}, {"RO", 24}, {"RS", 22}, {"SA", 24},
    {"SC", 31}, {"SE", 24}, {"SI", 19}, {"SK", 24}, {"SM", 27}, {"ST", 25}, {"SV", 28}, {"TL", 23},
    {"TN", 24}, {"TR", 26}, {"UA", 29}, {"VA", 22}, {"VG", 24}, {"XK", 20}};

std::size_t iban_length(std::string_view country) {
  const auto known = std::ranges::find(kIbanCountries, country, &IbanCountry::code);
  return known == std::end(kIbanCountries) ? 0 : known->length;
}

std::optional<TextSpan> check_iban(std::string_view text, TextSpan match) {
  const std::string_view found = part_of(text, match);
  const std::size_t wanted = iban_length(found.substr(0, 2));
  if (wanted == 0) return std::nullopt;
  std::string iban;
  std::size_t at = 0;
  for (; at < found.size() && iban.size() < wanted; ++at) {
    if (found[at] != ' ') iban += found[at];
  }
  if (iban.size() != wanted || !iban_valid(iban)) return std::nullopt;
  match.end = match.start + at;  // the words behind it may look like more of it
  return is_word(after(text, match)) ? std::nullopt : std::optional(match);
}

/// Country codes of E.164.
bool is_country_code(std::string_view digits) {
  static constexpr std::string_view kTwo =
      "20 27 28 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 "
      "63 64 65 66 81 82 83 84 86 89 90 91 92 93 94 95 98 ";
  static constexpr std::string_view kThree =
      "21 22 23 24 25 26 29 35 37 38 42 50 59 67 68 69 80 85 "
      "87 88 96 97 99 ";
  if (digits[0] == '1' || digits[0] == '7') return true;
  const std::string two = std::string(digits.substr(0, 2)) + " ";
  return kTwo.find(two) != std::string_view::npos || kThree.find(two) != std::string_view::npos;
}

/// A number in the international form: 8 to 15 digits behind a country code.
std::optional<TextSpan> check_phone(std::string_view text, TextSpan match) {
  const std::string digits = digits_of(part_of(text, match));
  if (digits.size() < 8 || digits.size() > 15 || !is_country_code(digits)) return std::nullopt;
  if (is_word(after(text, match)) || after(text, match) == '%') return std::nullopt;
  if (std::ranges::count(digits.substr(2), '0') + 2 == static_cast<std::ptrdiff_t>(digits.size()))
    return std::nullopt;  // +10000000000
  return match;
}

/// A number that a word before it calls a telephone number.
std::optional<TextSpan> check_labelled_phone(std::string_view text, TextSpan match) {
  const std::string digits = digits_of(part_of(text, match));
  if (digits.size() < 7 || digits.size() > 15 || is_word(after(text, match))) return std::nullopt;
  // A date: 2026-11-20, 20.11.2026
  const std::string_view found = part_of(text, match);
  if (digits.size() == 8 && found.size() == 10 && std::ranges::count(found, ' ') == 0)
    return std::nullopt;
  return match;
}

/// Area, group and serial numbers as the United States hand them out.
std::optional<TextSpan> check_ssn(std::string_view text, TextSpan match) {
  const std::string digits = digits_of(part_of(text, match));
  if (digits.size() != 9 || digits.starts_with("000") || digits.starts_with("666") ||
      digits[0] == '9' || digits.substr(3, 2) == "00" || digits.substr(5) == "0000") {
    return std::nullopt;
  }
  return match;
}

// --- Mail addresses

constexpr auto kFileEndings = std::to_array<std::string_view>(
    {"png",   "jpg",   "jpeg",  "gif",  "svg",    "webp",       "bmp",    "ico",    "css",
     "js",    "mjs",   "ts",    "tsx",  "jsx",    "html",       "htm",    "php",    "py",
     "rb",    "sh",    "so",    "dll",  "exe",    "conf",       "cfg",    "ini",    "json",
     "yaml",  "yml",   "toml",  "xml",  "txt",    "service",    "socket", "target", "timer",
     "mount", "scope", "slice", "path", "device", "localdomain"});

std::optional<TextSpan> check_mail(std::string_view text, TextSpan match) {
  const std::string_view found = part_of(text, match);
  const std::size_t at = found.rfind('@');
  const std::string local = to_lower_ascii(found.substr(0, at));
  const std::string top = to_lower_ascii(found.substr(found.rfind('.') + 1));
  if (std::ranges::find(kFileEndings, top) != kFileEndings.end()) return std::nullopt;
  // git@host:path names a repository, scheme://user:password@host a server.
  if (local == "git" || local == "hg" || local == "svn") return std::nullopt;
  if (local.find("..") != std::string::npos || local.back() == '.') return std::nullopt;
  const std::string_view line = text.substr(0, match.start);
  const std::size_t blank = line.find_last_of(" \t\r\n\"'<>()[]{},;");
  const std::string_view word = blank == std::string_view::npos ? line : line.substr(blank + 1);
  if (word.find("://") != std::string_view::npos) return std::nullopt;
  return match;
}

// --- Secrets

constexpr auto kPlaceholders =
    std::to_array<std::string_view>({"password",  "passwd",      "passphrase",     "secret",
                                     "token",     "user",        "username",       "string",
                                     "str",       "bytes",       "boolean",        "bool",
                                     "number",    "integer",     "null",           "none",
                                     "nil",       "undefined",   "true",           "false",
                                     "required",  "optional",    "missing",        "invalid",
                                     "incorrect", "expired",     "empty",          "blank",
                                     "unset",     "redacted",    "[redacted]",     "hidden",
                                     "masked",    "removed",     "example",        "sample",
                                     "default",   "placeholder", "changeit",       "your",
                                     "yours",     "mypassword",  "foobar",         "unknown",
                                     "disabled",  "enabled",     "encrypted",      "hashed",
                                     "protected", "prompt",      "input",          "stdin",
                                     "env",       "getpass",     "wrong",          "correct",
                                     "accepted",  "rejected",    "authentication", "reset",
                                     "change",    "forgotten",   "recovery",       "manager",
                                     "generator", "strength",    "policy",         "field"});

bool is_placeholder(std::string_view value) {
  const std::string lower = to_lower_ascii(value);
  if (std::ranges::find(kPlaceholders, lower) != kPlaceholders.end()) return true;
  // ****, xxxx, ....
  if (value.find_first_not_of(value[0]) == std::string_view::npos) return true;
  if (value.find_first_not_of("*x.X-_") == std::string_view::npos) return true;
  // <password>, ${PASSWORD}, {{ password }}, %(password)s, $PASSWORD, [password], function(...)
  if (std::string_view("<${%[(&").find(value[0]) != std::string_view::npos) return true;
  if (value.find('(') != std::string_view::npos || value.find("{{") != std::string_view::npos)
    return true;
  for (const std::string_view part :
       {"your-",       "your_",      "yourpass", "yoursecret", "yourtoken", "<your",
        "process.env", "os.environ", "getenv",   "env.",       "config.",   "settings.",
        "self.",       "this.",      "request.", "args.",      "options.",  "example_",
        "placeholder", "xxxx",       "****",     "redacted"}) {
    if (lower.find(part) != std::string::npos) return true;
  }
  return false;
}

/// user.password, Foo::Bar, get_user_name: names of a program, not values.
bool is_identifier_path(std::string_view value) {
  const bool joined =
      value.find('.') != std::string_view::npos || value.find("::") != std::string_view::npos ||
      value.find("->") != std::string_view::npos || value.find('_') != std::string_view::npos;
  return joined && std::ranges::none_of(value, is_digit) && std::ranges::all_of(value, [](char c) {
           return is_letter(c) || c == '.' || c == '_' || c == ':' || c == '-' || c == '>';
         });
}

std::string_view without_end_marks(std::string_view value) {
  while (!value.empty() &&
         std::string_view(".,;:!?)]}").find(value.back()) != std::string_view::npos)
    value.remove_suffix(1);
  return value;
}

bool is_quoted(std::string_view text, TextSpan match) {
  const char open = before(text, match);
  return open == '"' || open == '\'' || open == '`';
}

/// The value that something called a password was set to.
std::optional<TextSpan> check_password(std::string_view text, TextSpan match) {
  const std::string_view value = without_end_marks(part_of(text, match));
  if (value.size() < 6 || is_placeholder(value) || value.starts_with("//") ||
      value.starts_with(":")) {
    return std::nullopt;  // Data::Password::Strength
  }
  const Classes classes = classes_of(value);
  const bool quoted = is_quoted(text, match);
  const bool only_lower = classes.lower == value.size();
  const bool capitalized = classes.lower + 1 == value.size() && is_upper(value[0]);
  const bool element = value.find('[') != std::string_view::npos;  // auth[2]
  if (!quoted && (element || is_identifier_path(value))) return std::nullopt;
  // "password: enter the one you were given": an ordinary word in a sentence
  const char assigned =
      text.substr(0, match.start).find_last_not_of(" \t\"'`") == std::string_view::npos
          ? ' '
          : text[text.substr(0, match.start).find_last_not_of(" \t\"'`")];
  if ((only_lower || capitalized) && !quoted && assigned == ':') {
    const std::string_view rest = text.substr(match.end);
    const std::size_t next = rest.find_first_not_of(" \t");
    if (next != std::string_view::npos && next > 0 && is_letter(rest[next])) return std::nullopt;
    if (capitalized) return std::nullopt;
  }
  match.end = match.start + value.size();
  return match;
}

/// A password told in a sentence: at least a digit or sign besides letters.
std::optional<TextSpan> check_told_password(std::string_view text, TextSpan match) {
  const std::string_view value = without_end_marks(part_of(text, match));
  const Classes classes = classes_of(value);
  const bool hyphened =
      classes.digits == 0 && classes.others > 0 && std::ranges::all_of(value, [](char c) {
        return is_letter(c) || c == '-' || c == '\'' || c == '/' || c == '.';
      });
  if (value.size() < 6 || is_placeholder(value) || hyphened ||
      classes.digits + classes.others == 0 || classes.digits == value.size()) {
    return std::nullopt;
  }
  match.end = match.start + value.size();
  return match;
}

/// The value that something called a key, token or secret was set to: no name of a program.
std::optional<TextSpan> check_assigned_token(std::string_view text, TextSpan match) {
  std::string_view value = part_of(text, match);
  while (!value.empty() && (value.back() == '.' || value.back() == '-')) value.remove_suffix(1);
  if (value.size() < 16 || is_placeholder(value) || is_identifier_path(value)) return std::nullopt;
  if (value.front() == '/' || value.find("//") != std::string_view::npos ||
      after(text, match) == '(')
    return std::nullopt;
  const Classes classes = classes_of(value);
  if (classes.digits == 0 && shannon_entropy(value) < 4.0) return std::nullopt;
  if (classes.lower + classes.upper == 0) return std::nullopt;
  if (classes.digits * 12 < value.size() && classes.changes * 4 < value.size()) return std::nullopt;
  match.end = match.start + value.size();
  return shannon_entropy(value) < 2.8 ? std::nullopt : std::optional(match);
}

/// The password in scheme://user:password@host.
std::optional<TextSpan> check_url_password(std::string_view text, TextSpan match) {
  const std::string value = to_lower_ascii(part_of(text, match));
  if (is_placeholder(value)) return std::nullopt;
  for (const std::string_view weak : {"pass", "pwd", "passwd", "pw", "xxx"}) {
    if (value == weak) return std::nullopt;
  }
  return match;
}

bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !is_hex(text[i])) return false;
  }
  return true;
}

/// Whether the line above or below is one long run too: base64 wrapped into lines.
bool in_wrapped_block(std::string_view text, TextSpan match) {
  const auto is_run = [](std::string_view line) {
    line = line.substr(0, line.find_last_not_of(" \t\r\\") + 1);
    const std::size_t first = line.find_first_not_of(" \t");
    if (first == std::string_view::npos) return false;
    line.remove_prefix(first);
    return line.size() >= 40 && std::ranges::all_of(line, [](char c) {
             return is_word(c) || c == '+' || c == '/' || c == '=' || c == '-' || c == '_';
           });
  };
  const std::size_t line_start = text.substr(0, match.start).find_last_of('\n');
  if (line_start != std::string_view::npos) {
    const std::string_view above = text.substr(0, line_start);
    const std::size_t start = above.find_last_of('\n');
    if (is_run(start == std::string_view::npos ? above : above.substr(start + 1))) return true;
  }
  const std::size_t line_end = text.find('\n', match.end);
  if (line_end == std::string_view::npos) return false;
  const std::string_view below = text.substr(line_end + 1);
  return is_run(below.substr(0, below.find('\n')));
}

/// Letters in runs of at least five of one case: words, joined without blanks.
std::size_t letters_in_words(std::string_view text) {
  constexpr std::size_t kWord = 5;
  std::size_t letters = 0;
  for (std::size_t start = 0; start < text.size();) {
    std::size_t end = start;
    while (end < text.size() &&
           (is_lower(text[start]) ? is_lower(text[end])
                                  : is_upper(text[start]) && is_upper(text[end])))
      ++end;
    if (end - start >= kWord) letters += end - start;
    start = std::max(end, start + 1);
  }
  return letters;
}

/// A run that only chance makes: letters of both cases and digits, well mixed, and nothing around
/// it that says what it is (a hash, a public key, a path, an image).
std::optional<TextSpan> check_entropy(std::string_view text, TextSpan match) {
  std::string_view run = part_of(text, match);
  while (!run.empty() &&
         (run.front() == '-' || run.front() == '_' || run.front() == '=' || run.front() == '+')) {
    run.remove_prefix(1);
    ++match.start;
  }
  while (!run.empty() && (run.back() == '-' || run.back() == '_')) {
    run.remove_suffix(1);
    --match.end;
  }
  constexpr std::size_t kLeast = 20;
  constexpr std::size_t kMost = 128;
  if (run.size() < kLeast || run.size() > kMost || is_uuid(run)) return std::nullopt;
  const std::string_view lead = text.substr(0, match.start);
  const char previous = before(text, match);
  const char next = after(text, match);
  for (const char around : {previous, next}) {
    if (around == '/' || around == '+' || around == '@' || around == '\\' || around == '%')
      return std::nullopt;
  }
  if (previous == '.' || previous == '#' || previous == '&' || previous == '?' ||
      (next == '.' && match.end + 1 < text.size() && is_word(text[match.end + 1]))) {
    return std::nullopt;
  }
  const std::string lower_lead =
      to_lower_ascii(lead.substr(lead.size() - std::min<std::size_t>(lead.size(), 12)));
  for (const std::string_view says :
       {"sha1:", "sha256:", "sha384:", "sha512:", "md5:", "base64,"}) {
    if (lower_lead.ends_with(says)) return std::nullopt;
  }
  for (const std::string_view start :
       {"sha1-", "sha256-", "sha384-", "sha512-", "AAAAB3Nza", "AAAAC3Nza", "AAAAE2Vj", "iVBOR",
        "R0lGOD", "/9j/", "UklGR", "JVBER", "MII"}) {
    if (run.starts_with(start)) return std::nullopt;
  }
  const Classes classes = classes_of(run);
  const std::size_t core = run.size();
  if (classes.digits < 2 || classes.upper < 3 || classes.lower < 3) return std::nullopt;
  // Words joined by capitals, dashes or underscores change class seldom; chance does so at every
  // second character.
  if (classes.changes * 100 < (core - 1) * 38) return std::nullopt;
  if (classes.others * 5 > core || letters_in_words(run) * 10 > core * 3) return std::nullopt;
  if (shannon_entropy(run) < 3.9) return std::nullopt;
  return in_wrapped_block(text, match) ? std::nullopt : std::optional(match);
}

/// A call, not a definition: "def eval(x)" and "function eval(x)" are none.
std::optional<TextSpan> check_call(std::string_view text, TextSpan match) {
  const std::string_view lead = text.substr(0, match.start);
  const std::size_t end = lead.find_last_not_of(" \t");
  if (end == std::string_view::npos) return match;
  for (const std::string_view word :
       {"def", "function", "fn", "func", "fun", "sub", "void", "int"}) {
    if (lead.substr(0, end + 1).ends_with(word) && end + 1 < lead.size()) return std::nullopt;
  }
  return match;
}

/// yaml.load with a loader that makes plain data only is safe.
std::optional<TextSpan> check_yaml_load(std::string_view text, TextSpan match) {
  const std::string_view rest = text.substr(match.end, 160);
  const std::string_view call = rest.substr(0, rest.find('\n'));
  const bool safe = call.find("SafeLoader") != std::string_view::npos ||
                    call.find("BaseLoader") != std::string_view::npos;
  return safe ? std::nullopt : std::optional(match);
}

constexpr std::array kChecks = {
    NamedCheck{"luhn", check_luhn},
    NamedCheck{"card", check_card},
    NamedCheck{"iban", check_iban},
    NamedCheck{"phone", check_phone},
    NamedCheck{"labelled-phone", check_labelled_phone},
    NamedCheck{"ssn", check_ssn},
    NamedCheck{"mail", check_mail},
    NamedCheck{"password", check_password},
    NamedCheck{"told-password", check_told_password},
    NamedCheck{"assigned-token", check_assigned_token},
    NamedCheck{"url-password", check_url_password},
    NamedCheck{"entropy", check_entropy},
    NamedCheck{"call", check_call},
    NamedCheck{"yaml-load", check_yaml_load},
};

}  // namespace

std::span<const NamedCheck> all_checks() { return kChecks; }

MatchCheck find_check(std::string_view name) {
  const auto found = std::ranges::find(kChecks, name, &NamedCheck::name);
  return found == kChecks.end() ? nullptr : found->check;
}

bool luhn_valid(std::string_view digits) {
  int sum = 0;
  bool twice = false;
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit) {
    const int value = (*digit - '0') * (twice ? 2 : 1);
    sum += value > 9 ? value - 9 : value;
    twice = !twice;
  }
  return !digits.empty() && sum % 10 == 0;
}

bool iban_valid(std::string_view iban) {
  if (iban.size() < 5 || iban_length(iban.substr(0, 2)) != iban.size()) return false;
  const std::string turned = std::string(iban.substr(4)) + std::string(iban.substr(0, 4));
  std::uint32_t remainder = 0;
  for (const char c : turned) {
    if (is_digit(c)) {
      remainder = (remainder * 10 + static_cast<std::uint32_t>(c - '0')) % 97;
    } else if (is_upper(c)) {
      remainder = (remainder * 100 + static_cast<std::uint32_t>(c - 'A' + 10)) % 97;
    } else {
      return false;
    }
  }
  return remainder == 1;
}

}  // namespace nearlite
