#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace nearlite {

/// Changes with the code of the checks, so that decisions made by older ones are due again.
constexpr std::string_view kChecksVersion = "1";

/// A part of the text; bytes.
struct TextSpan {
  std::size_t start = 0;
  std::size_t end = 0;
};

/// Decides about a match: nothing if it is a false alarm, else the part that counts. `text` is the
/// whole text, for what stands around the match.
using MatchCheck = std::optional<TextSpan> (*)(std::string_view text, TextSpan match);

struct NamedCheck {
  std::string_view name;
  MatchCheck check;
};

std::span<const NamedCheck> all_checks();
/// Null if there is none of that name.
MatchCheck find_check(std::string_view name);

bool luhn_valid(std::string_view digits);
/// ISO 13616: country, length, remainder 1 modulo 97. `iban` without blanks.
bool iban_valid(std::string_view iban);

}  // namespace nearlite
