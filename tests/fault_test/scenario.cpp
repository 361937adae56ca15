#include "scenario.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <random>

#include "nearlite/base/error.h"
#include "vector_engine.h"

namespace nearlite::fault_test {
namespace {

using kill_test::NoteDB;
using kill_test::store_options;

constexpr std::int64_t kRows = 60;       // embedded at the start
constexpr std::int64_t kFirstNew = 100;  // rows that are not embedded yet: 100 to 107
constexpr std::int64_t kNumNew = 8;

std::string text_of(std::int64_t id, int version) {
  static constexpr const char* kWords[] = {"red",  "green", "blue",  "door",  "house", "tree",
                                           "lamp", "stone", "seven", "lamps", "paper", "river"};
  std::string text = std::to_string(id) + " of " + std::to_string(version);
  for (std::int64_t i = 0; i < 5; ++i)
    text += std::string(" ") + kWords[(id * 7 + i * i * 5 + version) % 12];
  return text;
}

void put(Connection& db, Checker& checker, std::int64_t id, int version) {
  const std::string text = text_of(id, version);
  db.prepare("INSERT OR REPLACE INTO note(id, body) VALUES (?1, ?2)")
      .run(id, std::string_view(text));
  checker.wrote(id, text);
}

/// One call of write at the moment of the promise, for the disk layer to see.
void say(std::string line) {
  line += '\n';
  if (::write(1, line.data(), line.size()) < 0)
    std::_Exit(4);  // as the program ends when nobody takes its output
}

void add(NoteDB& notes, Connection& db, std::int64_t first, std::int64_t count) {
  Statement rows = db.prepare("SELECT id, body FROM note WHERE id >= ?1 ORDER BY id LIMIT ?2");
  rows.bind(1, first).bind(2, count);
  while (rows.step()) {
    Record record;
    record.set("body", std::string(rows.text(1)));
    if (notes.add_embedding(rows.int64(0), record, "note"))
      say(std::to_string(rows.int64(0)) + " " + record.get("body"));
  }
}

/// Segments of their own for a few rows, and merges of those: with the limits of a store that is
/// much larger.
void merge(NoteDB& notes, Connection& db) {
  const auto& options = notes.options();
  VectorEngine engine({notes.sidecar_path(),
                       options.index_path,
                       options.metadata_path,
                       {},
                       options.store_name,
                       options.backend,
                       options.clock,
                       {.whole_up_to = 1, .seal_from = 2, .later_segments = 2}});
  for (std::int64_t i = 0; i < 4; ++i) {
    add(notes, db, kFirstNew + 2 * i, 2);
    engine.publish(PublishRule::kWhenItPays);
  }
}

}  // namespace

int work(const std::filesystem::path& folder, std::string_view task) {
  Connection db = Connection::open(folder / "notes.db", false);
  NoteDB notes(db.handle(), store_options(folder, "notes"));
  if (::access("/nearlite-fault-test-begins", F_OK) == 0) return 6;  // tells strace's log where
  if (task == "add") {
    add(notes, db, kFirstNew, 3);
  } else if (task == "delete") {
    for (const std::int64_t id : {20, 21, 22}) {
      say("?" + std::to_string(id));
      notes.remove_embedding(id);
      say("-" + std::to_string(id));
    }
  } else if (task == "backfill") {
    notes.backfill_embeddings({.batch_size = 8});
  } else if (task == "publish") {
    notes.save_index();
  } else if (task == "merge") {
    merge(notes, db);
  } else if (task == "rebuild") {
    notes.check(true);
  }
  return 0;
}

Template::Template(const std::filesystem::path& folder) : folder_(folder), checker_(folder) {
  std::filesystem::create_directories(folder_);
  Connection db = Connection::open(folder_ / "notes.db", true);
  db.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF");
  db.execute("CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT)");
  for (std::int64_t id = 1; id <= kRows; ++id) put(db, checker_, id, 1);
  {
    NoteDB notes(db.handle(), store_options(folder_, "notes"));
    notes.backfill_embeddings({.batch_size = 100});
    checker_.check_after_run();
  }
  for (std::int64_t id = 1; id <= 5; ++id) put(db, checker_, id, 2);
  for (std::int64_t id = 6; id <= 10; ++id) {
    db.prepare("DELETE FROM note WHERE id = ?1").run(id);
    checker_.deleted(id);
  }
  for (std::int64_t id = kFirstNew; id < kFirstNew + kNumNew; ++id) put(db, checker_, id, 1);
  db.execute("PRAGMA wal_checkpoint(TRUNCATE)");
  checker_.ask_undisturbed();
}

void Template::copy_to(const std::filesystem::path& folder, std::string_view task) const {
  std::filesystem::remove_all(folder);
  std::filesystem::copy(folder_, folder, std::filesystem::copy_options::recursive);
  if (task != "rebuild") return;
  std::filesystem::remove(folder / "notes.index");
  for (const auto& entry : std::filesystem::directory_iterator(folder / "notes.vec")) {
    if (entry.path().extension() != ".vecs") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(std::filesystem::file_size(entry.path()) / 2));
    file.put('\x55');
  }
}

Outcome run(const std::vector<std::string>& command,
            const std::map<std::string, std::string>& environment) {
  int out[2];
  if (::pipe2(out, O_CLOEXEC) != 0) std::abort();
  std::vector<char*> arguments;
  for (const std::string& part : command) arguments.push_back(const_cast<char*>(part.c_str()));
  arguments.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(out[1], 1);
    const int nothing = ::open("/dev/null", O_WRONLY);
    ::dup2(nothing, 2);
    for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  ::close(out[1]);
  Outcome outcome;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(out[0], buffer, sizeof buffer)) > 0;)
    outcome.printed.append(buffer, static_cast<std::size_t>(got));
  ::close(out[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  outcome.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

std::size_t judge(const std::filesystem::path& folder, Checker checker,
                  const std::string& printed) {
  checker = checker.in(folder);
  checker.read_promises(printed);
  try {
    checker.check_after_kill();
    Connection db = Connection::open(folder / "notes.db", false);
    NoteDB notes(db.handle(), store_options(folder, "notes"));
    notes.backfill_embeddings({.batch_size = 100});
    checker.check_after_run();
  } catch (const Error& error) {
    std::printf("FAILED: the next run says %s: %s\n", error.type(), error.what());
    return checker.num_failures() + 1;
  }
  return checker.num_failures();
}

Verdict run_disturbed(const Settings& settings, const Template& start, std::size_t count,
                      std::size_t runs, const std::function<Disturbance(std::size_t)>& made) {
  std::vector<std::size_t> cases(count);
  std::iota(cases.begin(), cases.end(), std::size_t{0});
  std::mt19937_64 random(settings.seed);
  std::shuffle(cases.begin(), cases.end(), random);
  if (cases.size() > runs) cases.resize(runs);
  const auto self = std::filesystem::read_symlink("/proc/self/exe").string();
  const auto folder = settings.folder / "disturbed";
  Verdict verdict;
  std::size_t num_refused = 0;
  for (const std::size_t number : cases) {
    const Disturbance one = made(number);
    start.copy_to(folder, one.task);
    const Outcome outcome = run({self, "--worker", folder.string(), one.task}, one.environment);
    ++verdict.runs;
    std::size_t failures = judge(folder, start.checker(), outcome.printed);
    if (outcome.exit_code == 4) ++num_refused;
    if (outcome.exit_code != 0 && outcome.exit_code != 4) {
      std::printf("FAILED: it ended with signal %d, exit code %d\n", outcome.signal,
                  outcome.exit_code);
      ++failures;
    }
    if (failures > 0) std::printf("  after %s with %s\n", one.task.c_str(), one.place.c_str());
    verdict.failures += failures;
    if (verdict.failures > 20) break;
  }
  std::printf("exit code 4 in %zu of %zu runs\n", num_refused, verdict.runs);
  return verdict;
}

}  // namespace nearlite::fault_test
