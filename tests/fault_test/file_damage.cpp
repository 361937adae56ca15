// Damage of every kind in every file of a store: answers stay true or are refused, check names the
// file, and the next run repairs it.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <random>
#include <set>
#include <string>

#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "scenario.h"

namespace nearlite::fault_test {
namespace {

using kill_test::NoteDB;
using kill_test::store_options;

constexpr std::size_t kPage = 4096;

struct Victim {
  const char* kind;     // as it is reported
  const char* finding;  // what check must say of it begins with this; "": see below
  Backend backend;
};
// The sidecar may be damaged where nothing is kept (free pages, unused bytes), so check need not
// say anything as long as every answer is what it was.
constexpr Victim kVictims[] = {{"segment", "segment", Backend::kAnnoy},
                               {"annoy", "index", Backend::kAnnoy},
                               {"graph", "index", Backend::kGraph},
                               {"json", "metadata", Backend::kAnnoy},
                               {"sidecar", "", Backend::kAnnoy}};

EmbeddableOptions options_of(const std::filesystem::path& folder, Backend backend) {
  EmbeddableOptions options = store_options(folder, "notes");
  options.backend = backend;
  return options;
}

std::filesystem::path file_of(const std::filesystem::path& folder, const Victim& victim) {
  if (std::strcmp(victim.kind, "json") == 0) return folder / "notes.json";
  if (std::strcmp(victim.kind, "sidecar") == 0) return folder / "notes.sqlite";
  if (std::strcmp(victim.kind, "segment") != 0) return folder / "notes.index";
  for (const auto& entry : std::filesystem::directory_iterator(folder / "notes.vec")) {
    if (entry.path().extension() == ".vecs") return entry.path();
  }
  return {};
}

/// The ways in which files go wrong. `other`: a file of the same kind from another store.
std::string damaged(std::string bytes, const std::string& other, std::size_t way,
                    std::mt19937_64& random, std::string& what) {
  const std::size_t at = random() % bytes.size();
  const std::size_t page = at / kPage * kPage;
  const std::size_t in_page = std::min(kPage, bytes.size() - page);
  switch (way) {
    case 1:
      what = "cut at " + std::to_string(page);
      return bytes.substr(0, page);
    case 2:
      what = "cut at " + std::to_string(at);
      return bytes.substr(0, at);
    case 3:
      what = "zeros in the 4 KiB at " + std::to_string(page);
      return bytes.replace(page, in_page, in_page, '\0');
    case 4:
      what = "bytes behind its end";
      return bytes + std::string(1 + random() % 5000, 'x');
    case 5:
      what = "the file of another store";
      return other;
    case 6: {
      what = "random bytes of the right size";
      for (char& byte : bytes) byte = static_cast<char>(random());
      return bytes;
    }
    default:
      const auto bit = static_cast<unsigned>(random() % 8);
      what = "bit " + std::to_string(bit) + " of byte " + std::to_string(at);
      bytes[at] = static_cast<char>(bytes[at] ^ static_cast<char>(1U << bit));
      return bytes;
  }
}

constexpr const char* kQuestions[] = {"red", "green door", "blue house tree"};

/// Asks a store that was just opened. Every hit must be a live row with the similarity of its text.
struct Answers {
  std::vector<std::pair<std::string, float>> hits;
  bool refused = false;
  std::string wrong;
};

Answers ask(NoteDB& notes, const Checker& checker) {
  Answers answers;
  for (const char* question : kQuestions) {
    for (const bool index_only : {false, true}) {
      const RecordSearchOptions options{.k = 10, .filter = {}, .index_only = index_only};
      try {
        const auto reply = notes.search_records(notes.encode_text(question), options);
        for (const auto& hit : reply.hits) {
          const auto live = checker.live().find(std::atoll(hit.key.json.c_str()));
          const bool shown = !hit.stale;
          if (shown && live == checker.live().end()) answers.wrong = "a hit that does not exist";
          if (shown && live != checker.live().end() &&
              std::abs(checker.similarity(question, live->second) - hit.similarity) > 1e-5F) {
            answers.wrong = "a similarity that is not that of the text: " + hit.key.json;
          }
          if (!index_only) answers.hits.emplace_back(hit.key.json, hit.similarity);
        }
      } catch (const Error&) {
        answers.refused = true;
      }
    }
  }
  return answers;
}

/// The store that is damaged: up to date, with all its files.
class Whole {
 public:
  Whole(const Settings& settings, const Template& start, const Victim& victim)
      : folder_(settings.folder / "whole"), checker_(start.checker().in(folder_)) {
    start.copy_to(folder_, "backfill");
    Connection db = Connection::open(folder_ / "notes.db", false);
    NoteDB notes(db.handle(), options_of(folder_, victim.backend));
    notes.backfill_embeddings({.batch_size = 100});
    notes.save_index();
    answers_ = ask(notes, checker_);
    for (const CheckFinding& finding : notes.check(false)) {
      std::printf("FAILED: check says of an undamaged store: %s\n", finding.message.c_str());
      sound_ = false;
    }
  }
  void copy_to(const std::filesystem::path& folder) const {
    std::filesystem::remove_all(folder);
    std::filesystem::copy(folder_, folder, std::filesystem::copy_options::recursive);
  }
  const std::filesystem::path& folder() const { return folder_; }
  const Checker& checker() const { return checker_; }
  const Answers& answers() const { return answers_; }
  bool sound() const { return sound_ && answers_.wrong.empty() && !answers_.refused; }

 private:
  std::filesystem::path folder_;
  Checker checker_;
  Answers answers_;
  bool sound_ = true;
};

/// What is wrong after one damage; "": nothing.
std::string judge_damage(const std::filesystem::path& folder, const Victim& victim,
                         const Whole& whole, bool repair, std::set<std::string>& names) {
  Connection db = Connection::open(folder / "notes.db", false);
  const EmbeddableOptions options = options_of(folder, victim.backend);
  Answers answers;
  std::vector<CheckFinding> findings;
  bool refused = false;
  try {
    NoteDB notes(db.handle(), options);
    answers = ask(notes, whole.checker());
    findings = NoteDB(db.handle(), options).check(false, CheckDepth::kFull);
  } catch (const Error&) {
    refused = true;  // the sidecar cannot be opened: nothing is answered
  }
  if (!answers.wrong.empty()) return answers.wrong;
  const bool is_sidecar = victim.finding[0] == '\0';
  const bool same = !answers.refused && answers.hits == whole.answers().hits;
  const auto named = [&](const CheckFinding& finding) {
    names.insert(finding.code);
    return is_sidecar || finding.code.starts_with(victim.finding);
  };
  const bool found = std::ranges::count_if(findings, named) > 0;
  if (is_sidecar) return same || found || refused ? "" : "other answers, and check finds nothing";
  if (refused || answers.refused) return "refused, though the sidecar holds everything";
  if (!same) return "other answers than before";
  if (!found) return "check does not name it";
  if (!repair) return "";
  NoteDB notes(db.handle(), options);
  notes.check(true);
  if (!notes.check(false).empty()) return "check --repair leaves damage";
  return ask(notes, whole.checker()).hits == whole.answers().hits
             ? ""
             : "repaired, it answers otherwise";
}

}  // namespace

Verdict test_damage(const Settings& settings, const Template& start, bool only_bits) {
  Verdict verdict;
  std::mt19937_64 random(settings.seed);
  const std::size_t runs = settings.runs == 0 ? (only_bits ? 10'000 : 1'400) : settings.runs;
  for (const Victim& victim : kVictims) {
    const Whole whole(settings, start, victim);
    if (!whole.sound()) {
      std::printf("FAILED: the undamaged store of %s does not answer\n", victim.kind);
      ++verdict.failures;
      continue;
    }
    const std::string good = read_file(file_of(whole.folder(), victim));
    std::string other;
    {
      const auto foreign = settings.folder / "foreign";
      start.copy_to(foreign, "add");
      Connection db = Connection::open(foreign / "notes.db", false);
      db.execute("UPDATE note SET body = body || ' of another'");
      NoteDB notes(db.handle(), options_of(foreign, victim.backend));
      notes.backfill_embeddings({.batch_size = 100});
      notes.save_index();
      other = read_file(file_of(foreign, victim));
    }
    std::set<std::string> names;
    const auto folder = settings.folder / "damaged";
    for (std::size_t i = 0; i < runs && verdict.failures <= 20; ++i) {
      // A sidecar of another store is a store of its own: nobody can know.
      std::size_t way = only_bits ? 0 : i % 7;
      if (way == 5 && victim.finding[0] == '\0') way = 3;
      std::string what;
      whole.copy_to(folder);
      const std::string bytes = damaged(good, other, way, random, what);
      if (bytes == good) continue;
      std::ofstream(file_of(folder, victim), std::ios::binary | std::ios::trunc) << bytes;
      ++verdict.runs;
      std::string wrong;
      try {
        wrong = judge_damage(folder, victim, whole, i % 8 == 0, names);
      } catch (const Error& error) {
        wrong = std::string(error.type()) + ": " + error.what();
      }
      if (wrong.empty()) continue;
      ++verdict.failures;
      std::printf("FAILED: %s: %s: %s\n", victim.kind, what.c_str(), wrong.c_str());
    }
    std::printf("%s: %zu bytes; check says", victim.kind, good.size());
    for (const std::string& name : names) std::printf(" %s", name.c_str());
    std::printf("\n");
  }
  return verdict;
}

}  // namespace nearlite::fault_test
