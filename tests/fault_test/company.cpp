// Two backfills at once, and a user's own program that writes to the source at the same time.
#include <sqlite3.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <thread>

#include "scenario.h"

namespace nearlite::fault_test {
namespace {

using Milliseconds = std::chrono::duration<double, std::milli>;

/// A program that knows nothing of us: it waits for a lock for one second, as many do.
class UserProgram {
 public:
  explicit UserProgram(const std::filesystem::path& file) {
    sqlite3_open(file.c_str(), &db_);
    sqlite3_busy_timeout(db_, 1000);
  }
  ~UserProgram() { sqlite3_close(db_); }
  UserProgram(const UserProgram&) = delete;
  UserProgram& operator=(const UserProgram&) = delete;

  /// False if the database was locked for longer.
  bool put(std::int64_t id, const std::string& text) {
    const auto start = std::chrono::steady_clock::now();
    sqlite3_stmt* insert = nullptr;
    sqlite3_prepare_v2(db_, "INSERT OR REPLACE INTO note(id, body) VALUES (?1, ?2)", -1, &insert,
                       nullptr);
    sqlite3_bind_int64(insert, 1, id);
    sqlite3_bind_text(insert, 2, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
    const int code = insert == nullptr ? SQLITE_ERROR : sqlite3_step(insert);
    sqlite3_finalize(insert);
    slowest_ms_ =
        std::max(slowest_ms_, Milliseconds(std::chrono::steady_clock::now() - start).count());
    return code == SQLITE_DONE;
  }
  double slowest_ms() const { return slowest_ms_; }

 private:
  sqlite3* db_ = nullptr;
  double slowest_ms_ = 0;
};

}  // namespace

Verdict test_company(const Settings& settings, const Template& start) {
  Verdict verdict;
  const auto self = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::size_t runs = settings.runs == 0 ? 300 : settings.runs;
  std::mt19937_64 random(settings.seed);
  double slowest_ms = 0;
  std::size_t num_refused = 0;
  for (std::size_t i = 0; i < runs && verdict.failures <= 20; ++i) {
    const auto folder = settings.folder / "company";
    start.copy_to(folder, "backfill");
    Checker checker = start.checker().in(folder);
    std::atomic<int> running = 2;
    Outcome outcomes[2];
    std::jthread backfills[2];
    for (int k = 0; k < 2; ++k) {
      backfills[k] = std::jthread([&, k] {
        outcomes[k] = run({self, "--worker", folder.string(), "backfill"});
        --running;
      });
    }
    UserProgram user(folder / "notes.db");
    std::size_t num_locked = 0;
    for (std::int64_t n = 0; running > 0; ++n) {
      const auto id = static_cast<std::int64_t>(1 + random() % 150);
      const std::string text = "seven lamps " + std::to_string(n) + " of " + std::to_string(i);
      checker.wrote(id, text);
      checker.read_promises("?" + std::to_string(id) + "\n");  // any text from now on is right
      if (!user.put(id, text)) ++num_locked;
      std::this_thread::yield();
    }
    for (auto& backfill : backfills) backfill.join();
    ++verdict.runs;
    slowest_ms = std::max(slowest_ms, user.slowest_ms());
    std::size_t failures = judge(folder, checker, "");
    if (num_locked > 0) {
      std::printf("FAILED: %zu times the user's program found the database locked\n", num_locked);
      ++failures;
    }
    for (const Outcome& outcome : outcomes) {
      num_refused += outcome.exit_code == 4 ? 1 : 0;  // the other one holds the store
      if (outcome.exit_code != 0 && outcome.exit_code != 4) {
        std::printf("FAILED: a backfill ended with signal %d, exit code %d\n", outcome.signal,
                    outcome.exit_code);
        ++failures;
      }
    }
    verdict.failures += failures;
  }
  std::printf(
      "%zu backfills found the other one at work; slowest write of the user's program %.1f ms\n",
      num_refused, slowest_ms);
  return verdict;
}

}  // namespace nearlite::fault_test
