#include "nearlite/service/patch_safety.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "nearlite/base/error.h"

namespace nearlite::vector_service {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostFailures = 10'000;  // the newest count

double cosine(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return 0;
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

/// A vector that can be compared: finite numbers of length 1, or nothing.
std::optional<std::vector<float>> unit_vector(const Json& json) {
  if (!json.is_array() || json.empty()) return std::nullopt;
  std::vector<float> vector;
  double squares = 0;
  for (const Json& value : json) {
    if (!value.is_number()) return std::nullopt;
    vector.push_back(value.get<float>());
    squares += double{vector.back()} * double{vector.back()};
  }
  if (!(squares > 0) || !std::isfinite(squares)) return std::nullopt;
  for (float& value : vector) value = static_cast<float>(value / std::sqrt(squares));
  return vector;
}

void append_line(const std::filesystem::path& file, const std::string& line) {
  const int fd = open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) throw_errno("cannot write " + file.string(), errno);
  // One write: lines of several processes do not mix.
  const ssize_t written = write(fd, line.data(), line.size());
  const int error = errno;
  close(fd);
  if (written < 0) throw_errno("cannot write " + file.string(), error);
  if (static_cast<std::size_t>(written) != line.size())
    throw Unavailable("cannot write all of a line to " + file.string());
}

}  // namespace

PatchSafety::PatchSafety(std::shared_ptr<const TextEncoder> encoder, PatchSafetySettings settings,
                         const Clock& clock, MetricsSink& metrics)
    : encoder_(std::move(encoder)),
      settings_(std::move(settings)),
      clock_(clock),
      metrics_(metrics) {}

std::vector<float> PatchSafety::vector_of(std::string_view text) const {
  const std::vector<std::string_view> texts = {text};
  std::vector<float> vector = encoder_->encode(texts, TextRole::kPlain).vectors;
  const double length = std::sqrt(cosine(vector, vector));
  if (length > 0) {
    for (float& value : vector) value = static_cast<float>(value / length);
  }
  return vector;
}

std::optional<const char*> PatchSafety::violation_of(const HitGovernance& flags) const {
  if (flags.alignment_severity > settings_.max_alert_severity) return "severity";
  if (flags.semantic_alerts.size() > settings_.max_alerts) return "alerts";
  const auto known = settings_.license_fingerprints.find(flags.license_fingerprint);
  if (settings_.license_denylist.contains(flags.license) ||
      (known != settings_.license_fingerprints.end() &&
       settings_.license_denylist.contains(known->second)))
    return "license";
  return std::nullopt;
}

bool PatchSafety::pre_embed_check(const HitGovernance& flags) {
  const auto violation = violation_of(flags);
  if (violation) metrics_.add("patch_safety_violations_total", {{"type", *violation}});
  return !violation;
}

SafetyVerdict PatchSafety::evaluate(const HitGovernance& flags, std::string_view error_text,
                                    const std::string& origin) {
  SafetyVerdict verdict;
  if (!pre_embed_check(flags)) {
    verdict.passed = false;
    return verdict;
  }
  load_failures();
  if (error_text.empty() || num_failures() == 0) return verdict;
  const std::vector<float> vector = vector_of(error_text);
  const std::scoped_lock lock(mutex_);
  for (const Failure& failure : failures_) {
    const double likeness = std::max(0.0, cosine(vector, failure.vector));
    verdict.score = std::max(verdict.score, likeness);
    double& risk = verdict.risks[failure.origin];
    risk = std::max(risk, likeness);
  }
  if (!origin.empty()) {
    const auto own = verdict.risks.find(origin);
    if (own != verdict.risks.end()) verdict.score += own->second;
  }
  verdict.passed = verdict.score < settings_.threshold;
  return verdict;
}

void PatchSafety::record_failure(std::string_view error_text, const std::string& origin) {
  if (error_text.empty()) return;
  Failure failure{vector_of(error_text), origin};
  if (!settings_.storage_path.empty()) {
    const Json line = {{"err", error_text},
                       {"vector", failure.vector},
                       {"origin", origin},
                       {"model", encoder_->info().identity}};
    append_line(settings_.storage_path,
                line.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n");
  }
  const std::scoped_lock lock(mutex_);
  failures_.push_back(std::move(failure));
  if (failures_.size() > kMostFailures) failures_.erase(failures_.begin());
}

void PatchSafety::load_failures(bool force) {
  if (settings_.storage_path.empty()) return;
  const auto now = clock_.now();
  {
    const std::scoped_lock lock(mutex_);
    if (!force && loaded_at_ && now - *loaded_at_ < settings_.refresh_interval) return;
    loaded_at_ = now;
  }
  std::vector<Failure> failures;
  std::ifstream file(settings_.storage_path);
  for (std::string line; std::getline(file, line);) {
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("vector")) continue;
    if (json.contains("model") && json["model"] != encoder_->info().identity) continue;
    auto vector = unit_vector(json["vector"]);
    if (!vector || vector->size() != encoder_->info().dim) continue;
    const auto origin = json.find("origin");
    failures.push_back({std::move(*vector), origin != json.end() && origin->is_string()
                                                ? origin->get<std::string>()
                                                : std::string()});
  }
  if (failures.size() > kMostFailures)
    failures.erase(failures.begin(), failures.end() - static_cast<std::ptrdiff_t>(kMostFailures));
  const std::scoped_lock lock(mutex_);
  failures_ = std::move(failures);
}

std::size_t PatchSafety::num_failures() const {
  const std::scoped_lock lock(mutex_);
  return failures_.size();
}

}  // namespace nearlite::vector_service
