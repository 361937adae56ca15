#include "nearlite/service/patch_store.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>

#include "nearlite/base/files.h"

namespace nearlite::vector_service {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kTables[] = R"(
CREATE TABLE IF NOT EXISTS patch_metrics(
  patch_id TEXT PRIMARY KEY, errors TEXT, tests_passed INTEGER, lines_changed INTEGER,
  context_tokens INTEGER, patch_difficulty REAL, start_time TEXT, time_to_completion REAL,
  error_trace_count INTEGER, roi_tag TEXT, effort_estimate REAL, enhancement_score REAL);
CREATE TABLE IF NOT EXISTS patch_vectors(
  patch_id TEXT PRIMARY KEY, summary TEXT, diff TEXT, outcome TEXT, result INTEGER,
  roi_delta REAL, ts TEXT, model TEXT, vector BLOB);
CREATE TABLE IF NOT EXISTS ranking_weights(db TEXT PRIMARY KEY, weight REAL);
CREATE TABLE IF NOT EXISTS vector_weights(vector_id TEXT PRIMARY KEY, weight REAL);
CREATE TABLE IF NOT EXISTS pending_sessions(
  session_id TEXT PRIMARY KEY, vectors TEXT, metadata TEXT);
CREATE TABLE IF NOT EXISTS vector_metrics(
  event_type TEXT, db TEXT, tokens INTEGER, wall_time_ms REAL, store_time_ms REAL, hit INTEGER,
  rank INTEGER, contribution REAL, prompt_tokens INTEGER, patch_id TEXT, session_id TEXT,
  vector_id TEXT, similarity REAL, context_score REAL, age REAL, win INTEGER, regret INTEGER,
  ts TEXT);
CREATE INDEX IF NOT EXISTS idx_vector_metrics_event_db_ts ON vector_metrics(event_type, db, ts);
)";

std::int64_t whole(std::size_t number) { return static_cast<std::int64_t>(number); }
std::size_t count_of(const Statement& row, int column) {
  return static_cast<std::size_t>(std::max<std::int64_t>(row.int64(column), 0));
}

std::vector<std::string> texts_of(std::string_view json) {
  std::vector<std::string> texts;
  const Json list = Json::parse(json, nullptr, false);
  if (!list.is_array()) return texts;
  for (const Json& one : list) {
    if (one.is_string()) texts.push_back(one.get<std::string>());
  }
  return texts;
}

}  // namespace

VectorMetricsDb::VectorMetricsDb(const std::filesystem::path& file, const Clock& clock)
    : db_(Connection::open(file, true)), clock_(clock) {
  db_.execute(kTables);
}

void VectorMetricsDb::put(const PatchRecord& patch, std::span<const float> vector,
                          const std::string& model) {
  const std::string ts = patch.ts.empty() ? rfc3339(clock_.now()) : patch.ts;
  const std::string errors =
      Json(patch.errors).dump(-1, ' ', false, Json::error_handler_t::replace);
  const std::scoped_lock lock(mutex_);
  Transaction transaction(db_);
  db_.prepare(
         "INSERT OR REPLACE INTO patch_metrics VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)")
      .run(std::string_view(patch.patch_id), std::string_view(errors), whole(patch.tests_passed),
           whole(patch.lines_changed), whole(patch.context_tokens), patch.patch_difficulty,
           std::string_view(ts), patch.time_to_completion, whole(patch.error_trace_count),
           std::string_view(patch.roi_tag), patch.effort_estimate, patch.enhancement_score);
  db_.prepare("INSERT OR REPLACE INTO patch_vectors VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9)")
      .run(std::string_view(patch.patch_id), std::string_view(patch.summary),
           std::string_view(patch.diff), std::string_view(patch.outcome),
           std::int64_t{patch.result}, patch.roi_delta, std::string_view(ts),
           std::string_view(model), bytes_of(vector));
  transaction.commit();
}

std::vector<PatchMatch> VectorMetricsDb::nearest(std::span<const float> vector,
                                                 const std::string& model, std::size_t k) {
  const std::scoped_lock lock(mutex_);
  std::vector<std::pair<double, std::string>> best;
  Statement scan =
      db_.prepare("SELECT patch_id, vector FROM patch_vectors WHERE model = ?1 ORDER BY patch_id");
  scan.bind(1, std::string_view(model));
  std::vector<float> other(vector.size());
  while (scan.step()) {
    const std::span<const std::byte> bytes = scan.blob(1);
    if (bytes.size() != vector.size_bytes() || bytes.empty()) continue;
    std::memcpy(other.data(), bytes.data(), bytes.size());
    best.emplace_back(-std::inner_product(vector.begin(), vector.end(), other.begin(), 0.0),
                      scan.text(0));
  }
  std::ranges::sort(best);  // of equally near ones the smaller id first
  if (best.size() > k) best.resize(k);
  std::vector<PatchMatch> matches;
  Statement row = db_.prepare(
      "SELECT v.patch_id, summary, diff, outcome, result, roi_delta, v.ts, roi_tag, "
      "enhancement_score, lines_changed, tests_passed, context_tokens, patch_difficulty, "
      "time_to_completion, error_trace_count, effort_estimate, errors "
      "FROM patch_vectors v JOIN patch_metrics m USING (patch_id) WHERE v.patch_id = ?1");
  for (const auto& [negative, id] : best) {
    row.reset();
    row.bind(1, std::string_view(id));
    if (!row.step()) continue;
    PatchMatch match;
    match.cosine = -negative;
    PatchRecord& patch = match.patch;
    patch.patch_id = row.text(0);
    patch.summary = row.text(1);
    patch.diff = row.text(2);
    patch.outcome = row.text(3);
    patch.result = row.int64(4) != 0;
    patch.roi_delta = row.real(5);
    patch.ts = row.text(6);
    patch.roi_tag = row.text(7);
    patch.enhancement_score = row.real(8);
    patch.lines_changed = count_of(row, 9);
    patch.tests_passed = count_of(row, 10);
    patch.context_tokens = count_of(row, 11);
    patch.patch_difficulty = row.real(12);
    patch.time_to_completion = row.real(13);
    patch.error_trace_count = count_of(row, 14);
    patch.effort_estimate = row.real(15);
    patch.errors = texts_of(row.text(16));
    matches.push_back(std::move(match));
  }
  return matches;
}

std::map<std::string, double> VectorMetricsDb::db_weights() {
  const std::scoped_lock lock(mutex_);
  std::map<std::string, double> weights;
  Statement row = db_.prepare("SELECT db, weight FROM ranking_weights");
  while (row.step()) weights.emplace(row.text(0), row.real(1));
  return weights;
}

std::optional<double> VectorMetricsDb::vector_weight(const std::string& vector_id) {
  const std::scoped_lock lock(mutex_);
  Statement row = db_.prepare("SELECT weight FROM vector_weights WHERE vector_id = ?1");
  row.bind(1, std::string_view(vector_id));
  if (!row.step()) return std::nullopt;
  return row.real(0);
}

/// Table and column names are ours.
double VectorMetricsDb::adjust(const char* table, const char* key, const std::string& name,
                               double delta) {
  const std::scoped_lock lock(mutex_);
  Transaction transaction(db_);
  double weight = 1;  // trusted until it fails: what was never adjusted counts as 1, too
  {
    Statement row =
        db_.prepare(std::string("SELECT weight FROM ") + table + " WHERE " + key + " = ?1");
    row.bind(1, std::string_view(name));
    if (row.step()) weight = row.real(0);
  }
  weight = std::clamp(weight + delta, 0.0, 1.0);
  db_.prepare(std::string("INSERT OR REPLACE INTO ") + table + " VALUES (?1, ?2)")
      .run(std::string_view(name), weight);
  const bool is_vector = std::string_view(key) == "vector_id";
  const std::string ts = rfc3339(clock_.now());
  db_.prepare(
         "INSERT INTO vector_metrics(event_type, db, vector_id, contribution, context_score, ts) "
         "VALUES ('ranker', ?1, ?2, ?3, ?4, ?5)")
      .run(std::string_view(is_vector ? name.substr(0, name.find(':')) : name),
           std::string_view(is_vector ? name : ""), delta, weight, std::string_view(ts));
  transaction.commit();
  return weight;
}

double VectorMetricsDb::adjust_db(const std::string& db, double delta) {
  return adjust("ranking_weights", "db", db, delta);
}

double VectorMetricsDb::adjust_vector(const std::string& vector_id, double delta) {
  return adjust("vector_weights", "vector_id", vector_id, delta);
}

void VectorMetricsDb::normalize_dbs() {
  const std::scoped_lock lock(mutex_);
  db_.execute(
      "UPDATE ranking_weights SET weight = weight / (SELECT sum(weight) FROM ranking_weights) "
      "WHERE (SELECT sum(weight) FROM ranking_weights) > 0");
}

void VectorMetricsDb::keep(const std::string& session_id, const std::string& json) {
  const std::scoped_lock lock(mutex_);
  db_.prepare("INSERT OR REPLACE INTO pending_sessions VALUES (?1, ?2, '{}')")
      .run(std::string_view(session_id), std::string_view(json));
}

std::optional<std::string> VectorMetricsDb::find(const std::string& session_id) {
  const std::scoped_lock lock(mutex_);
  Statement row = db_.prepare("SELECT vectors FROM pending_sessions WHERE session_id = ?1");
  row.bind(1, std::string_view(session_id));
  if (!row.step()) return std::nullopt;
  return std::string(row.text(0));
}

void VectorMetricsDb::forget(const std::string& session_id) {
  const std::scoped_lock lock(mutex_);
  db_.prepare("DELETE FROM pending_sessions WHERE session_id = ?1")
      .run(std::string_view(session_id));
}

}  // namespace nearlite::vector_service
