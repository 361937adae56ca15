// What a value or a name looks like, told from its characters alone.
#include <algorithm>
#include <cctype>

#include "column_profile.h"
#include "nearlite/base/entropy.h"
#include "nearlite/base/names.h"
#include "vector_text.h"

namespace nearlite {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

template <typename Test>
bool all_of(std::string_view text, Test test) {
  return !text.empty() && std::all_of(text.begin(), text.end(), test);
}

bool has_blank(std::string_view text) {
  return text.find_first_of(" \t\r\n") != std::string_view::npos;
}

bool starts_with_any(std::string_view text, std::initializer_list<std::string_view> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](std::string_view prefix) { return text.starts_with(prefix); });
}

bool is_number(std::string_view text) {
  return std::any_of(text.begin(), text.end(), is_digit) && all_of(text, [](char c) {
           return is_digit(c) || std::string_view("+-.,eE% :xX").find(c) != std::string_view::npos;
         });
}

/// 2026-11-20, 20.11.2026, 2026-11-20T13:24:05Z, 13:24: a year of four digits, or hours and
/// minutes.
bool is_date(std::string_view text) {
  if (text.size() < 4 || text.size() > 35) return false;
  std::size_t digits = 0;
  std::size_t letters = 0;
  std::size_t run = 0;
  bool year = false;
  bool clock = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    run = is_digit(c) ? run + 1 : 0;
    digits += is_digit(c) ? 1U : 0U;
    letters += is_ascii_letter(c) ? 1U : 0U;
    const bool run_ends = i + 1 == text.size() || !is_digit(text[i + 1]);
    year = year || (run == 4 && run_ends && (text[i - 3] == '1' || text[i - 3] == '2'));
    clock =
        clock || (run == 2 && run_ends && i >= 3 && text[i - 2] == ':' && is_digit(text[i - 3]));
    if (!is_digit(c) && !is_ascii_letter(c) &&
        std::string_view("-/:.,+ ").find(c) == std::string_view::npos) {
      return false;
    }
  }
  const bool separated = text.find_first_of("-/:.") != std::string_view::npos;
  return (year || clock) && separated && digits >= 4 && letters <= 6 && digits * 3 >= text.size();
}

/// 1.2.3-4, 2:1.0~rc1+dfsg
bool is_version(std::string_view text) {
  return text.size() <= 40 && is_digit(text[0]) && text.find('.') != std::string_view::npos &&
         all_of(text, [](char c) {
           return is_digit(c) || is_ascii_letter(c) ||
                  std::string_view(".+~:-_").find(c) != std::string_view::npos;
         });
}

bool is_uuid(std::string_view text) {
  return text.size() >= 32 && text.size() <= 38 &&
         all_of(text, [](char c) { return is_hex(c) || c == '-' || c == '{' || c == '}'; });
}

bool is_mail_address(std::string_view text) {
  const std::size_t at = text.find('@');
  return at != std::string_view::npos && at > 0 && !has_blank(text) &&
         text.find('.', at) != std::string_view::npos;
}

bool is_web_address(std::string_view text) {
  const std::size_t colon = text.find("://");
  return (colon <= 12 && !has_blank(text)) ||
         starts_with_any(text, {"www.", "mailto:", "data:", "place:", "javascript:", "about:"});
}

bool is_path(std::string_view text) {
  if (text.size() < 3 || text.find('\n') != std::string_view::npos) return false;
  const bool rooted = text[0] == '/' || text.starts_with("~/") || text.starts_with("./") ||
                      text.starts_with("\\\\") ||
                      (is_ascii_letter(text[0]) && text[1] == ':' && text[2] == '\\');
  if (rooted) return true;
  const bool separated = text.find_first_of("/\\") != std::string_view::npos;
  return (separated && !has_blank(text)) || text.starts_with("storage:");
}

/// notes.pdf, IMG_0042.jpeg
bool is_file_name(std::string_view text) {
  const std::size_t dot = text.rfind('.');
  return dot != std::string_view::npos && dot > 0 && text.size() - dot >= 3 &&
         text.size() - dot <= 6 && !has_blank(text) &&
         all_of(text.substr(dot + 1), [](char c) { return is_digit(c) || is_ascii_letter(c); });
}

bool is_credential(std::string_view text) {
  if (starts_with_any(text, {"AKIA",     "ghp_",     "gho_",    "github_pat_", "glpat-",  "sk-",
                             "sk_live_", "pk_live_", "xoxb-",   "xoxp-",       "eyJ",     "$2a$",
                             "$2b$",     "$2y$",     "$argon2", "$6$",         "$5$",     "$1$",
                             "pbkdf2_",  "pbkdf2:",  "bcrypt$", "scrypt$",     "scrypt:", "argon2",
                             "sha1$",    "md5$",     "{SSHA}",  "Bearer "}) &&
      text.size() >= 12 && !has_blank(text)) {
    return true;
  }
  return text.starts_with("-----BEGIN ") && text.find("KEY") != std::string_view::npos;
}

/// Letters, digits and + / = _ - without a blank, as long and as mixed as keys, hashes and encoded
/// data are.
bool is_encoded(std::string_view text) {
  if (text.size() < 16 || has_blank(text)) return false;
  if (!all_of(text, [](char c) {
        return is_digit(c) || is_ascii_letter(c) ||
               std::string_view("+/=_-").find(c) != std::string_view::npos;
      })) {
    return false;
  }
  const bool has_digit = std::any_of(text.begin(), text.end(), is_digit);
  return text.size() >= 200 || (has_digit && shannon_entropy(text) >= 3.5);
}

bool is_structured(std::string_view text) {
  const bool brackets =
      (text.front() == '{' && text.back() == '}') || (text.front() == '[' && text.back() == ']');
  return brackets && text.find_first_of("\":,") != std::string_view::npos;
}

/// camelCase and snake_case as lower-case words, with a space before and after each.
std::string words_of_name(std::string_view name) {
  std::string words = " ";
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool letter = is_ascii_letter(c) || (static_cast<unsigned char>(c) & 0x80U) != 0;
    const bool upper = c >= 'A' && c <= 'Z';
    const bool after_lower = i > 0 && name[i - 1] >= 'a' && name[i - 1] <= 'z';
    if (upper && after_lower) words += ' ';
    if (letter || is_digit(c)) {
      words += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (words.back() != ' ') {
      words += ' ';
    }
  }
  if (words.back() != ' ') words += ' ';
  return words;
}

bool has_word(const std::string& words, std::initializer_list<std::string_view> wanted) {
  return std::any_of(wanted.begin(), wanted.end(), [&](std::string_view word) {
    return words.find(" " + std::string(word) + " ") != std::string::npos;
  });
}

}  // namespace

std::string reason_by_name(std::string_view column) {
  const std::string words = words_of_name(column);
  // Words that mean something else inside longer names are taken only when they are the whole name.
  const bool alone = words == " pass " || words == " pin " || words == " salt " ||
                     words == " cookie " || words == " signature ";
  if (alone || has_word(words, {"password",
                                "passwd",
                                "passphrase",
                                "passwort",
                                "pwd",
                                "secret",
                                "secrets",
                                "token",
                                "tokens",
                                "apikey",
                                "api key",
                                "access key",
                                "private key",
                                "secret key",
                                "auth key",
                                "session key",
                                "encryption key",
                                "credential",
                                "credentials",
                                "password salt",
                                "cookies",
                                "otp",
                                "totp",
                                "cvv",
                                "cvc",
                                "ssn",
                                "iban",
                                "oauth",
                                "jwt",
                                "card number"})) {
    return "a credential, by its name";
  }
  if (has_word(words, {"id", "ids", "uuid", "guid", "rowid", "pk", "fk", "key"}))
    return "an id, by its name";
  if (has_word(words, {"hash", "sha1", "sha256", "md5", "checksum", "etag"})) {
    return "a hash, by its name";
  }
  if (has_word(words, {"email", "mail", "e mail"}) &&
      !has_word(words, {"body", "subject", "text"})) {
    return "mail addresses, by its name";
  }
  if (has_word(words, {"url", "uri", "href", "link", "path", "filename", "file name", "file path",
                       "host", "hostname"})) {
    return "an address or path, by its name";
  }
  if (has_word(words, {"username", "user name", "login", "firstname", "first name", "lastname",
                       "last name", "surname", "nickname", "fullname", "full name"})) {
    return "names of people, by its name";
  }
  if (words.ends_with("sort ")) return "a sorting form, by its name";
  return {};
}

std::string table_reason_by_name(std::string_view table) {
  const std::string words = words_of_name(table);
  const std::string lower = to_lower_ascii(table);
  if (has_word(words, {"migration", "migrations", "schema version", "schema versions",
                       "schema info", "flyway schema history", "alembic version",
                       "databasechangelog", "databasechangeloglock", "schema migrations",
                       "android metadata", "room master table", "ar internal metadata"})) {
    return "migration table";
  }
  if (has_word(words, {"session", "sessions", "cookie", "cookies"})) return "session table";
  if (has_word(words, {"token", "tokens", "credential", "credentials", "password", "passwords",
                       "secret", "secrets", "logins"})) {
    return "credentials, by its name";
  }
  if (lower == "django_content_type" || lower == "auth_permission" || lower == "sqlean_define" ||
      lower == "spatial_ref_sys" || lower == "geometry_columns") {
    return "administration of a framework";
  }
  return {};
}

std::string shape_of_value(std::string_view value) {
  const std::string tidy = trimmed(value);
  const std::string_view text = tidy;
  if (text.empty()) return {};
  if (is_credential(text)) return "credentials, by their shape";
  if (is_number(text) && !is_date(text)) return "numbers";
  if (is_date(text)) return "dates or times";
  if (is_version(text)) return "versions or addresses";
  if (is_uuid(text)) return "ids or hashes";
  if (is_mail_address(text)) return "mail addresses";
  if (is_web_address(text)) return "web addresses";
  if (is_structured(text)) return "structured data (JSON)";
  if (is_path(text)) return "paths";
  if (is_encoded(text)) return "hashes, keys or encoded data";
  if (is_file_name(text)) return "file or host names";
  return {};
}

}  // namespace nearlite
