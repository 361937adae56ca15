#include "nearlite/service/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <vector>

namespace nearlite {
namespace {

enum class Kind { kCounter, kGauge, kHistogram };

struct Description {
  const char* name;
  Kind kind;
  const char* help;
  std::vector<const char*> labels{};
  /// Series that are there from the start, as 0: values of the only label, or "" without labels.
  std::vector<const char*> preset{};
};

const std::vector<Description>& catalogue() {
  using enum Kind;
  static const std::vector<Description> kCatalogue = {
      {"embedding_scheduler_runs_total",
       kCounter,
       "Runs of the embedding scheduler",
       {"status"},
       {"success", "failure", "partial", "skipped"}},
      {"embedding_scheduler_run_duration_seconds",
       kGauge,
       "How long the last run of the embedding scheduler took",
       {},
       {""}},
      {"embedding_scheduler_next_run_seconds",
       kGauge,
       "Time until the next run of the embedding scheduler",
       {},
       {}},
      {"embedding_tokens_total", kCounter, "Tokens that the model read in backfills", {}, {""}},
      {"embedding_wall_seconds_total", kCounter, "Time that backfills took", {}, {""}},
      {"embedding_store_seconds_total",
       kCounter,
       "Time that backfills spent in sidecar and index files",
       {},
       {""}},
      {"embedding_wall_time_seconds", kGauge, "Time of the last backfill of a store", {}, {}},
      {"embedding_store_latency_seconds",
       kGauge,
       "Time in sidecar and index files of the last backfill of a store",
       {},
       {}},
      {"embedding_backfill_runs_total", kCounter, "Backfill runs", {"status", "trigger"}, {}},
      {"embedding_backfill_run_duration_seconds",
       kGauge,
       "Time of the last backfill run",
       {"trigger"},
       {}},
      {"embedding_backfill_records_total",
       kCounter,
       "Records that backfills met",
       {"store", "status"},
       {}},
      {"embedding_backfill_skipped_total",
       kCounter,
       "Records that a licence kept from embedding",
       {"db", "license"},
       {}},
      {"embedding_records", kGauge, "Records of a store by state", {"store", "state"}, {}},
      {"embedding_oldest_pending_age_seconds",
       kGauge,
       "Age of the oldest record that waits to be embedded",
       {"store"},
       {}},
      {"embedding_index_bytes", kGauge, "Bytes on disk", {"store", "kind"}, {}},
      {"embedding_encode_duration_seconds", kHistogram, "Time of embedding requests", {}, {""}},
      {"embedding_encode_tokens_total", kCounter, "Tokens of embedding requests", {}, {""}},
      {"embedding_encode_truncated_total",
       kCounter,
       "Texts of embedding requests that the model could not read whole",
       {},
       {""}},
      {"embedding_search_duration_seconds", kHistogram, "Time of searches", {}, {""}},
      {"embedding_search_short_results_total",
       kCounter,
       "Searches that returned less than asked for although more exists",
       {},
       {""}},
      {"embedding_build_info", kGauge, "Always 1", {"version"}, {}},
      {"vector_service_calls_total",
       kCounter,
       "Calls of the service's functions, failed ones too",
       {"function"},
       {}},
      {"vector_service_latency_seconds", kGauge, "Time of the last call", {"function"}, {}},
      {"vector_service_result_size", kGauge, "Results of the last call", {"function"}, {}},
      {"vector_service_http_requests_total",
       kCounter,
       "HTTP requests",
       {"status"},
       {"200", "202", "204", "400", "401", "403", "404", "405", "408", "413", "415", "422", "424",
        "429", "431", "499", "500", "503"}},
      {"vector_service_http_request_duration_seconds",
       kHistogram,
       "Time from the whole request to its answer",
       {},
       {""}},
      {"vector_service_open_without_token",
       kGauge,
       "1 while the service listens beyond this machine without asking for a token",
       {},
       {""}},
      {"vector_service_reloads_total",
       kCounter,
       "Reloads of the configuration",
       {"status"},
       {"success", "failure"}},
      {"retrieval_hits_total", kCounter, "Hits returned", {}, {""}},
      {"retrieval_query_time", kGauge, "Seconds of the last search", {}, {}},
      {"retrieval_tokens_injected_total", kCounter, "Tokens of contexts that were built", {}, {""}},
      {"patch_logger_track_contributors_total",
       kCounter,
       "Outcomes that were logged",
       {"status"},
       {"success", "failure", "error"}},
      {"patch_logger_track_contributors_duration_seconds",
       kGauge,
       "Time of the last outcome that was logged",
       {},
       {}},
      {"patch_logger_vectors_total",
       kCounter,
       "Vectors named by outcomes",
       {"risk"},
       {"risky", "safe", "filtered"}},
      {"patch_logger_tests_total",
       kCounter,
       "Tests reported with outcomes",
       {"status"},
       {"passed", "failed"}},
      {"patch_success_total", kCounter, "Outcomes that succeeded", {}, {""}},
      {"patch_failure_total", kCounter, "Outcomes that failed", {}, {""}},
      {"nearlite_metrics_errors_total", kCounter, "Figures that could not be kept", {}, {""}},
  };
  return kCatalogue;
}

const prometheus::Histogram::BucketBoundaries kSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                          0.1,   0.25,   0.5,   1,    2.5,   10};
constexpr std::size_t kMostSeries = 64;

class NullMetrics : public MetricsSink {
 public:
  void add(std::string_view, MetricLabels, double) noexcept override {}
  void set(std::string_view, MetricLabels, double) noexcept override {}
  void observe(std::string_view, MetricLabels, double) noexcept override {}
};

}  // namespace

MetricsSink& null_metrics() {
  static NullMetrics sink;
  return sink;
}

struct PrometheusMetrics::State {
  struct Family {
    const Description* description = nullptr;
    prometheus::Family<prometheus::Counter>* counter = nullptr;
    prometheus::Family<prometheus::Gauge>* gauge = nullptr;
    prometheus::Family<prometheus::Histogram>* histogram = nullptr;
    std::set<prometheus::Labels> known{};
  };

  State() {
    for (const Description& description : catalogue()) {
      Family& family = families[description.name];
      family.description = &description;
      switch (description.kind) {
        case Kind::kCounter:
          family.counter = &prometheus::BuildCounter()
                                .Name(description.name)
                                .Help(description.help)
                                .Register(registry);
          break;
        case Kind::kGauge:
          family.gauge = &prometheus::BuildGauge()
                              .Name(description.name)
                              .Help(description.help)
                              .Register(registry);
          break;
        case Kind::kHistogram:
          family.histogram = &prometheus::BuildHistogram()
                                  .Name(description.name)
                                  .Help(description.help)
                                  .Register(registry);
      }
      for (const char* value : description.preset) preset(family, value);
    }
  }

  static void preset(Family& family, const char* value) {
    prometheus::Labels labels;
    if (!family.description->labels.empty()) labels[family.description->labels.front()] = value;
    family.known.insert(labels);
    if (family.counter != nullptr) family.counter->Add(labels);
    if (family.gauge != nullptr) family.gauge->Add(labels);
    if (family.histogram != nullptr) family.histogram->Add(labels, kSeconds);
  }

  /// The family and labels of a series, or nothing for what the catalogue does not have.
  std::pair<Family*, prometheus::Labels> series(std::string_view name, MetricLabels given,
                                                Kind kind) {
    const auto found = families.find(name);
    if (found == families.end()) return {nullptr, {}};
    Family& family = found->second;
    prometheus::Labels labels;
    for (const auto& [label, value] : given) labels[std::string(label)] = std::string(value);
    const bool fits =
        family.description->kind == kind && labels.size() == family.description->labels.size() &&
        std::ranges::all_of(family.description->labels,
                            [&](const char* label) { return labels.contains(label); });
    if (!fits) return {nullptr, {}};
    const std::scoped_lock lock(mutex);
    if (!family.known.contains(labels)) {
      if (family.known.size() >= kMostSeries) {
        for (auto& [label, value] : labels) value = "other";
      }
      family.known.insert(labels);
    }
    return {&family, std::move(labels)};
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
    const auto [family, with] = state_->series(counter, labels, Kind::kCounter);
    if (family == nullptr || !(amount >= 0)) return state_->complain();
    family->counter->Add(with).Increment(amount);
  } catch (const std::exception&) {  // out of memory: the figure is lost, the service goes on
  }
}

void PrometheusMetrics::set(std::string_view gauge, MetricLabels labels, double value) noexcept {
  try {
    const auto [family, with] = state_->series(gauge, labels, Kind::kGauge);
    if (family == nullptr) return state_->complain();
    family->gauge->Add(with).Set(value);
  } catch (const std::exception&) {  // as above
  }
}

void PrometheusMetrics::observe(std::string_view histogram, MetricLabels labels,
                                double value) noexcept {
  try {
    const auto [family, with] = state_->series(histogram, labels, Kind::kHistogram);
    if (family == nullptr) return state_->complain();
    family->histogram->Add(with, kSeconds).Observe(value);
  } catch (const std::exception&) {  // as above
  }
}

std::string PrometheusMetrics::exposition() const {
  std::ostringstream text;
  // Families without a series yet would be headings of nothing.
  std::vector<prometheus::MetricFamily> families = state_->registry.Collect();
  std::erase_if(families,
                [](const prometheus::MetricFamily& family) { return family.metric.empty(); });
  std::ranges::sort(families, {}, &prometheus::MetricFamily::name);
  prometheus::TextSerializer().Serialize(text, families);
  return text.str();
}

}  // namespace nearlite
