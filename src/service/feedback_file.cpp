#include "nearlite/service/feedback.h"

#include "nearlite/store/connection.h"

namespace nearlite::vector_service {
namespace {

constexpr char kTables[] = R"(
CREATE TABLE IF NOT EXISTS patch_outcomes(
  id INTEGER PRIMARY KEY, patch_id TEXT, session_id TEXT, origin_db TEXT, vector_id TEXT,
  success INTEGER, reverted INTEGER DEFAULT 0, label TEXT, ts TEXT DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE IF NOT EXISTS retriever_stats(
  origin_db TEXT PRIMARY KEY, wins INTEGER DEFAULT 0, regrets INTEGER DEFAULT 0);
)";

}  // namespace

WinsAndRegrets FeedbackFile::record(const PatchOutcome& outcome, const Contributor& contributor) {
  Connection db = Connection::open(file_of_(contributor.origin), true);
  db.execute(kTables);
  const std::string now = rfc3339(clock_.now());
  Transaction transaction(db);
  db.prepare(
        "INSERT INTO patch_outcomes(patch_id, session_id, origin_db, vector_id, success, label, "
        "ts) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
      .run(std::string_view(outcome.patch_id), std::string_view(outcome.session_id),
           std::string_view(contributor.origin), std::string_view(contributor.vector_id),
           std::int64_t{outcome.result}, std::string_view(outcome.result ? "positive" : "negative"),
           std::string_view(now));
  WinsAndRegrets standing;
  {
    Statement insert = db.prepare(
        "INSERT INTO retriever_stats(origin_db, wins, regrets) VALUES (?1, ?2, ?3) "
        "ON CONFLICT(origin_db) DO UPDATE SET wins = wins + excluded.wins, "
        "regrets = regrets + excluded.regrets RETURNING wins, regrets");
    insert.bind(1, std::string_view(contributor.origin));
    insert.bind(2, std::int64_t{outcome.result});
    insert.bind(3, std::int64_t{!outcome.result});
    while (insert.step()) standing = {insert.int64(0), insert.int64(1)};
  }
  transaction.commit();
  return standing;
}

}  // namespace nearlite::vector_service
