#pragma once

#include <vector>

#include "linear.h"
#include "nearlite/model/transformer.h"

namespace nearlite {

/// The buffers that the layers hand rows along in; they grow to the largest batch seen.
struct TransformerWorkspace::State {
  LinearContext linear;
  std::vector<float> hidden;     // [rows, hidden]: the residual stream
  std::vector<float> wide;       // [rows, max(3 * hidden, intermediate)]
  std::vector<float> context;    // [rows, hidden]: what attention mixed
  std::vector<float> projected;  // [rows, hidden]: what is added to the stream next
  std::vector<float> attention;  // scratch of one head

  static float* room(std::vector<float>& buffer, std::size_t floats) {
    if (buffer.size() < floats) buffer.resize(floats);
    return buffer.data();
  }
};

}  // namespace nearlite
