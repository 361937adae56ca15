#pragma once

#include <cstddef>
#include <string>

#include "nearlite/encoder/text_encoder.h"

namespace nearlite {

struct ModelVerification {
  std::string compared_with;  // "recorded vectors" or "fp32"
  std::size_t num_texts = 0;
  std::size_t num_truncated = 0;  // of them, longer than the model reads
  double smallest_cosine = 1;     // between the model's vectors and those it is compared with
  double mean_cosine = 1;
  double least_cosine = 0;  // what the precision must reach
  std::string worst_text;
  bool passed = false;  // smallest_cosine is at least least_cosine
};

/// Encodes recorded texts and compares with the vectors that sentence-transformers gave them, for
/// sentence-transformers/all-MiniLM-L6-v2 (by the last part of the model's name); for any other
/// model with those of `exact`, the same model in fp32. Throws as TextEncoder::info().
ModelVerification verify_model(const TextEncoder& encoder, const TextEncoder& exact);

}  // namespace nearlite
