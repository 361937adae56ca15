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

  StageSeconds* stages = nullptr;  // where to add times to, if anywhere
  double last_lap = 0;

  /// Adds the processor time since the last lap to a stage.
  void lap(double StageSeconds::*stage) {
    if (stages != nullptr) stages->*stage += elapsed();
  }
  void start_laps() {
    if (stages != nullptr) elapsed();
  }
  double elapsed();  // since the last call

  static float* room(std::vector<float>& buffer, std::size_t floats) {
    if (buffer.size() < floats) buffer.resize(floats);
    return buffer.data();
  }
};

}  // namespace nearlite
