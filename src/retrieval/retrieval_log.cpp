#include "nearlite/retrieval/retrieval_log.h"

#include <fstream>
#include <utility>

#include "nearlite/base/error.h"

namespace nearlite {
namespace {

constexpr char kTables[] = R"(
CREATE TABLE IF NOT EXISTS retrieval_metrics(
  id INTEGER PRIMARY KEY AUTOINCREMENT, origin_db TEXT, record_id TEXT, rank INTEGER, hit INTEGER, tokens INTEGER,
  score REAL, ts TEXT);
CREATE TABLE IF NOT EXISTS retrieval_stats(
  session_id TEXT, origin_db TEXT, record_id TEXT, vector_id TEXT, db_type TEXT, rank INTEGER, hit INTEGER,
  hit_rate REAL, tokens_injected INTEGER, contribution REAL, patch_id TEXT, db_source TEXT, age REAL,
  similarity REAL, frequency REAL, roi_delta REAL, usage REAL, prior_hits INTEGER, ts TEXT);
CREATE INDEX IF NOT EXISTS retrieval_stats_by_session ON retrieval_stats(session_id, vector_id);
CREATE TABLE IF NOT EXISTS retriever_stats(origin_db TEXT PRIMARY KEY, wins INTEGER, regrets INTEGER);
CREATE TABLE IF NOT EXISTS eval_metrics(cycle TEXT, metric TEXT, value REAL, ts TEXT, source_menace_id TEXT);
CREATE TABLE IF NOT EXISTS vector_metrics(
  event_type TEXT, db TEXT, tokens INTEGER, wall_time_ms REAL, store_time_ms REAL, hit INTEGER, rank INTEGER,
  contribution REAL, prompt_tokens INTEGER, patch_id TEXT, session_id TEXT, vector_id TEXT, similarity REAL,
  context_score REAL, age REAL, win INTEGER, regret INTEGER, ts TEXT);
CREATE INDEX IF NOT EXISTS vector_metrics_by_event ON vector_metrics(event_type, db, ts);
CREATE INDEX IF NOT EXISTS vector_metrics_by_session ON vector_metrics(session_id, vector_id);
)";

void bind_age(Statement& insert, int position, const std::optional<double>& age) {
  if (age) {
    insert.bind(position, *age);
  } else {
    insert.bind(position, nullptr);
  }
}

std::int64_t whole(std::size_t number) { return static_cast<std::int64_t>(number); }

/// The rows of one hit in the three tables that have one.
void insert_hit(Connection& db, const RetrievalOutcome& hit, std::string_view now) {
  db.prepare(
        "INSERT INTO retrieval_metrics(origin_db, record_id, rank, hit, tokens, score, ts) VALUES "
        "(?1, ?2, ?3, ?4, ?5, ?6, ?7)")
      .run(std::string_view(hit.origin_db), std::string_view(hit.record_id), whole(hit.rank),
           std::int64_t{hit.hit}, whole(hit.tokens), hit.score, now);
  Statement stats = db.prepare(
      "INSERT INTO retrieval_stats(session_id, origin_db, record_id, vector_id, db_type, rank, "
      "hit, hit_rate, tokens_injected, age, similarity, frequency, roi_delta, usage, prior_hits, "
      "ts, contribution, patch_id, db_source) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, "
      "?11, ?12, ?13, ?14, ?15, ?16, 0, '', '')");
  bind_age(stats, 10, hit.age);
  stats.bind(1, std::string_view(hit.session_id)).bind(2, std::string_view(hit.origin_db));
  stats.bind(3, std::string_view(hit.record_id)).bind(4, std::string_view(hit.vector_id));
  stats.bind(5, std::string_view(hit.db_type)).bind(6, whole(hit.rank));
  stats.bind(7, std::int64_t{hit.hit}).bind(8, hit.hit_rate).bind(9, whole(hit.tokens));
  stats.bind(11, hit.similarity).bind(12, hit.frequency).bind(13, hit.roi_delta);
  stats.bind(14, hit.usage).bind(15, whole(hit.prior_hits)).bind(16, now).step();
  Statement vector = db.prepare(
      "INSERT INTO vector_metrics(event_type, db, tokens, wall_time_ms, store_time_ms, hit, rank, "
      "contribution, prompt_tokens, patch_id, session_id, vector_id, similarity, context_score, "
      "age, ts) VALUES ('retrieval', ?1, ?2, 0, 0, ?3, ?4, 0, 0, '', ?5, ?6, ?7, ?8, ?9, ?10)");
  bind_age(vector, 9, hit.age);
  vector.bind(1, std::string_view(hit.origin_db)).bind(2, whole(hit.tokens));
  vector.bind(3, std::int64_t{hit.hit}).bind(4, whole(hit.rank));
  vector.bind(5, std::string_view(hit.session_id)).bind(6, std::string_view(hit.vector_id));
  vector.bind(7, hit.similarity).bind(8, hit.context_score).bind(10, now).step();
}

void insert_figure(Connection& db, const std::string& session, const std::string& metric,
                   double value, std::string_view now) {
  db.prepare(
        "INSERT INTO eval_metrics(cycle, metric, value, ts, source_menace_id) VALUES (?1, ?2, ?3, "
        "?4, '')")
      .run(std::string_view(session), std::string_view(metric), value, now);
}

}  // namespace

RetrievalLog::RetrievalLog(const std::filesystem::path& metrics_db, std::filesystem::path outcomes,
                           const Clock& clock)
    : clock_(clock), outcomes_(std::move(outcomes)), db_(Connection::open(metrics_db, true)) {
  db_.execute(kTables);
}

void RetrievalLog::record(const RetrieverResult& result) {
  const std::lock_guard lock(mutex_);
  const std::string now = rfc3339(clock_.now());
  Transaction transaction(db_);
  for (const RetrievalOutcome& hit : result.metrics) insert_hit(db_, hit, now);
  const double hit_rate = result.candidates == 0 ? 0
                                                 : static_cast<double>(result.results.size()) /
                                                       static_cast<double>(result.candidates);
  insert_figure(db_, result.session_id, "retrieval_hit_rate", hit_rate, now);
  insert_figure(db_, result.session_id, "retrieval_query_time", result.took_ms / 1000, now);
  for (const auto& [origin, took_ms] : result.store_ms)
    insert_figure(db_, result.session_id, "retrieval_db_response_time." + origin, took_ms / 1000,
                  now);
  transaction.commit();
  if (!outcomes_.empty()) append_lines(result);
}

void RetrievalLog::append_lines(const RetrieverResult& result) {
  std::error_code ignored;  // opening says what is wrong
  if (outcomes_.has_parent_path())
    std::filesystem::create_directories(outcomes_.parent_path(), ignored);
  std::ofstream out(outcomes_, std::ios::app);
  std::string lines;
  for (const RetrievalOutcome& hit : result.metrics) lines += to_json(hit) + "\n";
  out << lines << std::flush;
  if (!out) throw Unavailable("cannot write to " + outcomes_.string());
}

bool RetrievalLog::mark_retrieval_contribution(const std::string& session_id,
                                               const std::string& vector_id, double contribution) {
  const std::lock_guard lock(mutex_);
  db_.prepare(
         "UPDATE retrieval_stats SET contribution = ?3 WHERE session_id = ?1 AND vector_id = ?2")
      .run(std::string_view(session_id), std::string_view(vector_id), contribution);
  return db_.changes() > 0;
}

bool RetrievalLog::mark_outcome(const std::string& session_id, const std::string& vector_id,
                                bool win, bool regret) {
  const std::lock_guard lock(mutex_);
  Transaction transaction(db_);
  db_.prepare(
         "UPDATE vector_metrics SET win = ?3, regret = ?4 WHERE event_type = 'retrieval' AND "
         "session_id = ?1 AND vector_id = ?2")
      .run(std::string_view(session_id), std::string_view(vector_id), std::int64_t{win},
           std::int64_t{regret});
  const bool found = db_.changes() > 0;
  if (found) {
    db_.prepare(
           "INSERT INTO retriever_stats(origin_db, wins, regrets) SELECT db, ?3, ?4 FROM "
           "vector_metrics WHERE session_id = ?1 AND vector_id = ?2 LIMIT 1 ON CONFLICT(origin_db) "
           "DO UPDATE SET wins = wins + ?3, regrets = regrets + ?4")
        .run(std::string_view(session_id), std::string_view(vector_id), std::int64_t{win},
             std::int64_t{regret});
  }
  transaction.commit();
  return found;
}

std::map<std::string, Reliability> RetrievalLog::reliability() {
  const std::lock_guard lock(mutex_);
  std::map<std::string, Reliability> reliability;
  Statement counts =
      db_.prepare("SELECT origin_db, wins, regrets FROM retriever_stats WHERE wins + regrets > 0");
  while (counts.step()) {
    const double total = counts.real(1) + counts.real(2);
    Reliability& one = reliability[std::string(counts.text(0))];
    one.win_rate = counts.real(1) / total;
    one.regret_rate = counts.real(2) / total;
    one.sample_count = static_cast<std::size_t>(total);
  }
  Statement rows = db_.prepare(
      "SELECT db, avg(win), avg(regret), count(*) FROM vector_metrics WHERE event_type = "
      "'retrieval' AND win IS NOT NULL AND regret IS NOT NULL GROUP BY db");
  while (rows.step()) {
    reliability[std::string(rows.text(0))] = {
        .win_rate = rows.real(1),
        .regret_rate = rows.real(2),
        .sample_count = static_cast<std::size_t>(rows.int64(3))};
  }
  return reliability;
}

}  // namespace nearlite
