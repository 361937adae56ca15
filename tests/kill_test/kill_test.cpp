// Kills a backfill (and single adds) with SIGKILL at random moments, then runs the same command
// again until it is done: nothing may be lost, nothing there twice, and the answers must equal
// those of an undisturbed run.
//   nearlite_kill_test [--kills N] [--seed S]
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>

#include "kill_test.h"
#include "nearlite/base/error.h"

namespace nearlite::kill_test {
namespace {

using Milliseconds = std::chrono::duration<double, std::milli>;

struct Outcome {
  bool killed = false;
  int exit_code = 0;
  double took_ms = 0;
  std::string printed;
};

/// Runs this program as a worker; kills it after `after`, unless it is done before.
Outcome run(const std::filesystem::path& folder, const char* task, Milliseconds after) {
  int out[2];
  if (::pipe(out) != 0) std::abort();
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(out[1], 1);
    ::close(out[0]);
    ::close(out[1]);
    ::execl("/proc/self/exe", "nearlite_kill_test", "--worker", folder.c_str(), task, nullptr);
    ::_exit(127);
  }
  ::close(out[1]);
  std::mutex mutex;
  std::condition_variable ended;
  bool is_done = false;
  std::thread killer([&] {
    std::unique_lock lock(mutex);
    const auto when = start + std::chrono::duration_cast<std::chrono::nanoseconds>(after);
    if (ended.wait_until(lock, when, [&] { return is_done; })) return;
    ::kill(child, SIGKILL);  // the child is not waited for before this thread has ended: the number
                             // is still its own
  });
  Outcome outcome;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(out[0], buffer, sizeof buffer)) > 0;) {
    outcome.printed.append(buffer, static_cast<std::size_t>(got));
  }
  outcome.took_ms = Milliseconds(std::chrono::steady_clock::now() - start).count();
  ::close(out[0]);
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
  {
    const std::lock_guard lock(mutex);
    is_done = true;
  }
  ended.notify_one();
  killer.join();
  int status = 0;
  ::waitpid(child, &status, 0);
  outcome.killed = WIFSIGNALED(status);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

/// Changes the source at random: rows added, changed and deleted.
void change_source(Connection& db, Checker& checker, std::mt19937_64& random,
                   std::int64_t& next_id) {
  static constexpr const char* kWords[] = {"red",   "green", "blue",  "door",  "house",
                                           "tree",  "water", "lamp",  "stone", "seven",
                                           "lamps", "paper", "river", "and"};
  const auto text = [&] {
    std::string words = std::to_string(random() % 1000000);
    for (std::size_t i = 0; i < 3 + random() % 6; ++i)
      words += std::string(" ") + kWords[random() % std::size(kWords)];
    return words;
  };
  Transaction transaction(db);
  const auto put = [&](std::int64_t id) {
    const std::string body = text();
    db.prepare("INSERT OR REPLACE INTO note(id, body) VALUES (?1, ?2)")
        .run(id, std::string_view(body));
    checker.wrote(id, body);
  };
  std::vector<std::int64_t> ids;
  for (const auto& [id, body] : checker.live()) ids.push_back(id);
  // Once there are many, about as many are added as deleted, so that a thousand kills take as long
  // as ten times a hundred.
  const int num_new = ids.size() < 500 ? 60 : 25;
  for (int i = 0; i < num_new; ++i) put(next_id++);
  for (std::size_t i = 0; i < 30 && !ids.empty(); ++i) put(ids[random() % ids.size()]);
  for (std::size_t i = 0; i < 25 && !ids.empty(); ++i) {
    const std::int64_t id = ids[random() % ids.size()];
    db.prepare("DELETE FROM note WHERE id = ?1").run(id);
    checker.deleted(id);
  }
  transaction.commit();
}

int drive(std::size_t num_kills, std::uint64_t seed) {
  // In memory where there is such a place: a kill loses nothing there that a disk would keep, and
  // a commit need not wait for the disk.
  const std::filesystem::path memory = "/dev/shm";
  const auto root =
      ::access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path();
  std::string name = (root / "nearlite-kill-XXXXXX").string();
  const std::filesystem::path folder = ::mkdtemp(name.data());
  std::mt19937_64 random(seed);
  Checker checker(folder);
  std::size_t kills = 0;
  std::size_t finished = 0;
  double slowest_ms = 0;
  {
    Connection db = Connection::open(folder / "notes.db", true);
    db.execute("PRAGMA journal_mode = WAL; CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT)");
    std::int64_t next_id = 1;
    double run_ms = 150;  // how long an undisturbed run takes, learned on the way
    while (kills < num_kills && checker.num_failures() == 0) {
      change_source(db, checker, random, next_id);
      for (int attempt = 0;; ++attempt) {
        // Some kills hit single adds; after six kills in a row the run may finish.
        const char* task = random() % 4 == 0 ? "add" : "backfill";
        const bool may_finish = attempt >= 6;
        const double limit =
            may_finish ? 600'000 : std::uniform_real_distribution<>(1, run_ms * 1.2)(random);
        const Outcome outcome = run(folder, may_finish ? "backfill" : task, Milliseconds(limit));
        checker.read_promises(outcome.printed);
        if (outcome.killed) {
          ++kills;
          checker.check_after_kill();
        } else if (outcome.exit_code != 0) {
          std::printf("FAILED: the worker ended with exit code %d\n", outcome.exit_code);
          return 1;
        } else if (may_finish || std::strcmp(task, "backfill") == 0) {
          run_ms = 0.7 * run_ms + 0.3 * outcome.took_ms;
          slowest_ms = std::max(slowest_ms, outcome.took_ms);
          ++finished;
          checker.check_after_run();
          break;
        }
        if (checker.num_failures() > 0) break;
      }
    }
  }
  std::printf(
      "kills %zu, finished runs %zu, records %zu, slowest run %.0f ms, failures %zu (seed %llu)\n",
      kills, finished, checker.live().size(), slowest_ms, checker.num_failures(),
      static_cast<unsigned long long>(seed));
  if (checker.num_failures() > 0) {
    std::printf("the files are kept in %s\n", folder.c_str());
    return 1;
  }
  std::filesystem::remove_all(folder);
  return 0;
}

}  // namespace
}  // namespace nearlite::kill_test

int main(int argc, char** argv) {
  try {
    if (argc == 4 && std::strcmp(argv[1], "--worker") == 0)
      return nearlite::kill_test::run_worker(argv[2], argv[3]);
    std::size_t kills = 60;
    std::uint64_t seed = std::random_device{}();
    for (int i = 1; i + 1 < argc; i += 2) {
      if (std::strcmp(argv[i], "--kills") == 0) kills = std::stoul(argv[i + 1]);
      if (std::strcmp(argv[i], "--seed") == 0) seed = std::stoull(argv[i + 1]);
    }
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    std::fflush(stdout);
    return nearlite::kill_test::drive(kills, seed);
  } catch (const nearlite::Error& error) {
    std::fprintf(stderr, "%s: %s\n", error.type(), error.what());
    return error.exit_code();
  }
}
