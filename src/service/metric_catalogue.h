#pragma once

#include <vector>

namespace nearlite {

enum class MetricKind { kCounter, kGauge, kHistogram };

/// One family of series; docs/guides/operate.md says what they are good for.
struct MetricDescription {
  const char* name;
  MetricKind kind;
  const char* help;
  std::vector<const char*> labels{};
  /// Series that are there from the start, as 0: values of the only label, or "" without labels.
  std::vector<const char*> preset{};
};

const std::vector<MetricDescription>& metric_catalogue();

}  // namespace nearlite
