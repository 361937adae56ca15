#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace nearlite {

/// Two lower-case hex digits for each byte.
std::string hex_of(std::span<const std::byte> bytes);

/// All 16 lower-case hex digits, the highest first.
std::string hex_of(std::uint64_t value);

}  // namespace nearlite
