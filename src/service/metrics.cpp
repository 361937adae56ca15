#include "nearlite/service/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <map>
#include <mutex>
#include <sstream>
#include <vector>

#include "metric_catalogue.h"

namespace nearlite {
namespace {

const prometheus::Histogram::BucketBoundaries kSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                          0.1,   0.25,   0.5,   1,    2.5,   10};
// Of one name; a histogram is more than a dozen lines each time.
constexpr std::size_t kMostSeries = 64;
constexpr std::size_t kMostHistograms = 8;

class NullMetrics : public MetricsSink {
 public:
  void add(std::string_view, MetricLabels, double) noexcept override {}
  void set(std::string_view, MetricLabels, double) noexcept override {}
  void observe(std::string_view, MetricLabels, double) noexcept override {}
};

std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  std::string text(digits.data(), end);
  // OpenMetrics wants floats to look like floats: 1.0, not 1.
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

std::string escaped(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c == '\n') {
      safe += "\\n";
    } else {
      if (c == '\\' || c == '"') safe += '\\';
      safe += c;
    }
  }
  return safe;
}

void append_sample(std::string& text, const std::string& name,
                   const std::vector<prometheus::ClientMetric::Label>& labels,
                   const std::string& extra, const std::string& value) {
  std::string inside;
  for (const auto& label : labels)
    inside += (inside.empty() ? "" : ",") + label.name + "=\"" + escaped(label.value) + '"';
  if (!extra.empty()) inside += (inside.empty() ? "" : ",") + extra;
  text += name;
  if (!inside.empty()) text += "{" + inside + "}";
  text += " " + value + "\n";
}

void append_open_metrics(std::string& text, const prometheus::MetricFamily& family) {
  const bool counter = family.type == prometheus::MetricType::Counter;
  // The family of a counter has no _total, its samples have.
  std::string name = family.name;
  if (counter && name.ends_with("_total")) name.resize(name.size() - 6);
  const char* type = counter                                            ? "counter"
                     : family.type == prometheus::MetricType::Histogram ? "histogram"
                                                                        : "gauge";
  text += "# TYPE " + name + " " + type + "\n# HELP " + name + " " + escaped(family.help) + "\n";
  for (const prometheus::ClientMetric& metric : family.metric) {
    if (family.type == prometheus::MetricType::Histogram) {
      for (const auto& bucket : metric.histogram.bucket)
        append_sample(text, name + "_bucket", metric.label,
                      "le=\"" + number_text(bucket.upper_bound) + '"',
                      std::to_string(bucket.cumulative_count));
      append_sample(text, name + "_sum", metric.label, "",
                    number_text(metric.histogram.sample_sum));
      append_sample(text, name + "_count", metric.label, "",
                    std::to_string(metric.histogram.sample_count));
    } else {
      append_sample(text, counter ? name + "_total" : name, metric.label, "",
                    number_text(counter ? metric.counter.value : metric.gauge.value));
    }
  }
}

}  // namespace

MetricsSink& null_metrics() {
  static NullMetrics sink;
  return sink;
}

struct PrometheusMetrics::State {
  /// One series; which pointer is set follows from the kind of its family.
  struct Series {
    prometheus::Counter* counter = nullptr;
    prometheus::Gauge* gauge = nullptr;
    prometheus::Histogram* histogram = nullptr;
  };
  struct Family {
    const MetricDescription* description = nullptr;
    prometheus::Family<prometheus::Counter>* counter = nullptr;
    prometheus::Family<prometheus::Gauge>* gauge = nullptr;
    prometheus::Family<prometheus::Histogram>* histogram = nullptr;
    std::map<std::string, Series, std::less<>> series{};  // by the values of its labels, joined
  };

  State() {
    for (const MetricDescription& description : metric_catalogue()) {
      Family& family = families[description.name];
      family.description = &description;
      switch (description.kind) {
        case MetricKind::kCounter:
          family.counter = &prometheus::BuildCounter()
                                .Name(description.name)
                                .Help(description.help)
                                .Register(registry);
          break;
        case MetricKind::kGauge:
          family.gauge = &prometheus::BuildGauge()
                              .Name(description.name)
                              .Help(description.help)
                              .Register(registry);
          break;
        case MetricKind::kHistogram:
          family.histogram = &prometheus::BuildHistogram()
                                  .Name(description.name)
                                  .Help(description.help)
                                  .Register(registry);
      }
      for (const char* value : description.preset) {
        if (description.labels.empty()) {
          make(family, {}, "");
        } else {
          make(family, {{description.labels.front(), value}}, std::string(value) + '\0');
        }
      }
    }
  }

  static Series& make(Family& family, const prometheus::Labels& labels, std::string key) {
    Series series;
    if (family.counter != nullptr) series.counter = &family.counter->Add(labels);
    if (family.gauge != nullptr) series.gauge = &family.gauge->Add(labels);
    if (family.histogram != nullptr) series.histogram = &family.histogram->Add(labels, kSeconds);
    return family.series.emplace(std::move(key), series).first->second;
  }

  /// The series of these labels, or nullptr for what the catalogue does not have.
  Series* find(std::string_view name, MetricLabels given, MetricKind kind) {
    const auto found = families.find(name);
    if (found == families.end()) return nullptr;
    Family& family = found->second;
    const auto& wanted = family.description->labels;
    if (family.description->kind != kind || given.size() != wanted.size()) return nullptr;
    std::string key;
    for (const char* label : wanted) {
      const auto* const pair = std::ranges::find(
          given, label, [](const auto& one) -> std::string_view { return one.first; });
      if (pair == given.end()) return nullptr;
      key += pair->second;
      key += '\0';
    }
    const std::scoped_lock lock(mutex);
    const auto known = family.series.find(key);
    if (known != family.series.end()) return &known->second;
    prometheus::Labels labels;
    const bool full =
        family.series.size() >= (family.histogram != nullptr ? kMostHistograms : kMostSeries);
    if (full) key = "other";  // no joined key has this form: those end with a NUL
    if (const auto other = family.series.find(key); full && other != family.series.end())
      return &other->second;
    for (const auto& [label, value] : given)
      labels[std::string(label)] = full ? std::string("other") : std::string(value);
    return &make(family, labels, std::move(key));
  }

  void complain() { families.at("nearlite_metrics_errors_total").counter->Add({}).Increment(); }

  prometheus::Registry registry;
  std::map<std::string, Family, std::less<>> families;
  std::mutex mutex;
};

PrometheusMetrics::PrometheusMetrics(const std::string& version)
    : state_(std::make_unique<State>()) {
  set("embedding_build_info", {{"version", version}}, 1);
}

PrometheusMetrics::~PrometheusMetrics() = default;

void PrometheusMetrics::add(std::string_view counter, MetricLabels labels, double amount) noexcept {
  try {
    State::Series* series = state_->find(counter, labels, MetricKind::kCounter);
    if (series == nullptr || !(amount >= 0)) return state_->complain();
    series->counter->Increment(amount);
  } catch (const std::exception&) {  // out of memory: the figure is lost, the service goes on
  }
}

void PrometheusMetrics::set(std::string_view gauge, MetricLabels labels, double value) noexcept {
  try {
    State::Series* series = state_->find(gauge, labels, MetricKind::kGauge);
    if (series == nullptr) return state_->complain();
    series->gauge->Set(value);
  } catch (const std::exception&) {  // as above
  }
}

void PrometheusMetrics::observe(std::string_view histogram, MetricLabels labels,
                                double value) noexcept {
  try {
    State::Series* series = state_->find(histogram, labels, MetricKind::kHistogram);
    if (series == nullptr) return state_->complain();
    series->histogram->Observe(value);
  } catch (const std::exception&) {  // as above
  }
}

std::string PrometheusMetrics::exposition(Exposition form) const {
  // Families without a series yet would be headings of nothing.
  std::vector<prometheus::MetricFamily> families = state_->registry.Collect();
  std::erase_if(families,
                [](const prometheus::MetricFamily& family) { return family.metric.empty(); });
  std::ranges::sort(families, {}, &prometheus::MetricFamily::name);
  if (form == Exposition::kPrometheus) {
    std::ostringstream text;
    prometheus::TextSerializer().Serialize(text, families);
    return text.str();
  }
  std::string text;
  for (const prometheus::MetricFamily& family : families) append_open_metrics(text, family);
  return text + "# EOF\n";
}

}  // namespace nearlite
