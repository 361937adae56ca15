#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace nearlite {

/// The candidate that differs least from `name` (edit distance, case ignored), or nothing if none
/// is near.
std::optional<std::string> nearest_name(std::string_view name,
                                        std::span<const std::string> candidates);

/// "a, b and c", for messages.
std::string join_names(std::span<const std::string> names, std::string_view separator = ", ");

/// Lower-cases A to Z only; independent of the locale.
std::string to_lower_ascii(std::string_view text);

}  // namespace nearlite
