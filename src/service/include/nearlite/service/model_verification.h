#pragma once

#include <cstddef>
#include <string>

#include "nearlite/encoder/text_encoder.h"

namespace nearlite {

struct ModelVerification {
  std::size_t num_texts = 0;
  double smallest_cosine = 1;  // between the model's vectors and the recorded ones
  std::string worst_text;
  bool passed = false;  // smallest_cosine is at least kLeastCosine
};

/// What a model of fp32 precision must reach.
constexpr double kLeastCosine = 0.999999;

/// Encodes recorded texts and compares with the vectors that sentence-transformers gave them. Knows
/// sentence-transformers/all-MiniLM-L6-v2, by the last part of the model's name.
/// Throws NotFound for a model without recorded vectors, and as TextEncoder::info().
ModelVerification verify_model(const TextEncoder& encoder);

}  // namespace nearlite
