#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace nearlite {

/// A text and the vector that sentence-transformers gives it, each component times 32,767.
struct ReferenceText {
  std::string_view text;
  std::array<std::int16_t, 384> vector;
};

std::span<const ReferenceText> all_minilm_l6_v2_reference();

}  // namespace nearlite
