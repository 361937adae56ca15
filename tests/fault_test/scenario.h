#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "../kill_test/kill_test.h"

namespace nearlite::fault_test {

using kill_test::Checker;

/// What is disturbed. Each is done by a process of its own: this program with --worker.
inline constexpr std::string_view kTasks[] = {"add",     "delete", "backfill",
                                              "publish", "merge",  "rebuild"};

/// Does one task in a folder that a Template was copied to. Prints a line for each thing that it
/// promises to keep. Returns an exit code.
int work(const std::filesystem::path& folder, std::string_view task);

/// A store with published files, behind its source by some added, changed and deleted rows: what
/// every disturbed run begins with.
class Template {
 public:
  explicit Template(const std::filesystem::path& folder);

  /// Copies the files to a new folder and makes them what `task` begins with.
  void copy_to(const std::filesystem::path& folder, std::string_view task) const;
  /// Knows the source, and what is promised before anything was disturbed.
  const Checker& checker() const noexcept { return checker_; }

 private:
  std::filesystem::path folder_;
  Checker checker_;
};

/// How a process ended.
struct Outcome {
  int signal = 0;  // 0: it was not killed
  int exit_code = 0;
  std::string printed;
};

/// Runs a program to its end; its standard error goes to /dev/null.
Outcome run(const std::vector<std::string>& command,
            const std::map<std::string, std::string>& environment = {});

/// What must hold once a task was disturbed: everything acknowledged is there, an ordinary backfill
/// brings the store up to date, and then it answers as an undisturbed one. Returns the number of
/// things that do not hold, which were printed.
std::size_t judge(const std::filesystem::path& folder, Checker checker, const std::string& printed);

/// The settings that every kind of test gets.
struct Settings {
  std::filesystem::path folder;  // empty, ours
  std::uint64_t seed = 1;
  std::size_t runs = 0;                // of all tasks together; 0: all there are
  std::filesystem::path disk_layer;    // libnearlite_test_disk.so
  std::filesystem::path memory_layer;  // libnearlite_test_memory.so
};

struct Verdict {
  std::size_t runs = 0;
  std::size_t failures = 0;
};

/// A disturbed run of one task.
struct Disturbance {
  std::string task;
  std::map<std::string, std::string> environment;  // what disturbs it
  std::string place;                               // for the message of a failure
};
/// Runs at most `runs` of the `count` cases that `made` gives by number, in an order of the seed's.
/// Each must end with exit code 0 or 4, and hold what judge() asks.
Verdict run_disturbed(const Settings& settings, const Template& start, std::size_t count,
                      std::size_t runs, const std::function<Disturbance(std::size_t)>& made);

/// A kill, and an error, at every call into the system that changes a file (strace).
Verdict test_calls(const Settings& settings, const Template& start);
/// Power cuts at any moment: writes that were not synced are lost, kept or torn.
Verdict test_power(const Settings& settings, const Template& start);
/// A disk that is full after any number of bytes.
Verdict test_full(const Settings& settings, const Template& start);
/// A request for memory that is refused, once or from then on.
Verdict test_memory(const Settings& settings, const Template& start);
/// Bit flips, or damage of all kinds, in every file of a store that is up to date.
Verdict test_damage(const Settings& settings, const Template& start, bool only_bits);
/// Two backfills and a user's own program at once.
Verdict test_company(const Settings& settings, const Template& start);

}  // namespace nearlite::fault_test
