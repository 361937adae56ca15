#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace nearlite {

/// name="value" pairs of one series.
using MetricLabels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

/// Where figures go. Called from any thread; does not throw. Names are those of the catalogue in
/// docs/guides/operate.md.
class MetricsSink {
 public:
  virtual ~MetricsSink() = default;
  virtual void add(std::string_view counter, MetricLabels labels, double amount = 1) noexcept = 0;
  virtual void set(std::string_view gauge, MetricLabels labels, double value) noexcept = 0;
  /// One value of a histogram.
  virtual void observe(std::string_view histogram, MetricLabels labels, double value) noexcept = 0;
};

/// Drops everything; lives for the whole program.
MetricsSink& null_metrics();

/// The catalogue as Prometheus reads it. A name that is not in it, or labels other than it names,
/// are a defect and counted in nearlite_metrics_errors_total. Each name has at most 64 series
/// (8 histograms): what comes after is counted under the label values "other".
class PrometheusMetrics : public MetricsSink {
 public:
  explicit PrometheusMetrics(const std::string& version);
  ~PrometheusMetrics() override;

  void add(std::string_view counter, MetricLabels labels, double amount = 1) noexcept override;
  void set(std::string_view gauge, MetricLabels labels, double value) noexcept override;
  void observe(std::string_view histogram, MetricLabels labels, double value) noexcept override;

  /// kPrometheus: text/plain; version=0.0.4. kOpenMetrics: application/openmetrics-text;
  /// version=1.0.0.
  enum class Exposition { kPrometheus, kOpenMetrics };
  std::string exposition(Exposition form = Exposition::kPrometheus) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nearlite
