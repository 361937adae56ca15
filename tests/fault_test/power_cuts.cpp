// Power cuts. A task is recorded once; then, at any moment of it, the disk is put together as it
// may be found: synced bytes are there, of all others any part.
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <string>

#include "disk_layer.h"
#include "nearlite/base/files.h"
#include "scenario.h"

namespace nearlite::fault_test {
namespace {

constexpr std::size_t kSector = 512;  // what a disk writes whole

struct Event {
  DiskRecord head;
  std::string data;
};

std::vector<Event> read_log(const std::filesystem::path& file) {
  const std::string bytes = read_file(file, std::uint64_t{1} << 30);
  std::vector<Event> events;
  for (std::size_t at = 0; at + sizeof(DiskRecord) <= bytes.size();) {
    Event event;
    std::memcpy(&event.head, bytes.data() + at, sizeof event.head);
    at += sizeof event.head;
    event.data = bytes.substr(at, event.head.size);
    at += event.head.size;
    events.push_back(std::move(event));
  }
  return events;
}

/// A file: what is safe, and what was asked for since.
struct File {
  std::string safe;
  std::vector<const Event*> pending;  // writes and cuts
};
using Names = std::map<std::string, std::shared_ptr<File>>;  // by path

void apply(std::string& content, const Event& event, const std::string& keep_sectors) {
  if (event.head.kind == kDiskCut) {
    content.resize(event.head.offset);
    return;
  }
  for (std::size_t at = 0; at < event.data.size();) {
    const std::size_t place = event.head.offset + at;
    const std::size_t part = std::min(kSector - place % kSector, event.data.size() - at);
    if (keep_sectors.empty() || keep_sectors[at / kSector % keep_sectors.size()] != 0) {
      if (content.size() < place + part) content.resize(place + part, '\0');
      content.replace(place, part, event.data, at, part);
    }
    at += part;
  }
}

/// The disk of one recorded task.
class Disk {
 public:
  Disk(const std::filesystem::path& before, std::vector<Event> events)
      : root_(before.string()), events_(std::move(events)) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(before)) {
      if (!entry.is_regular_file()) continue;
      auto file = std::make_shared<File>();
      file->safe = read_file(entry.path());
      start_.emplace(entry.path().lexically_relative(before).string(), std::move(file));
    }
  }

  std::size_t num_events() const { return events_.size(); }

  /// What is found after a power cut behind the first `count` events; `said`: what the process had
  /// said by then.
  void cut_after(std::size_t count, std::mt19937_64& random, const std::string& recorded_in,
                 const std::filesystem::path& to, std::string& said) const;

 private:
  std::string root_;
  std::vector<Event> events_;
  Names start_;
};

void Disk::cut_after(std::size_t count, std::mt19937_64& random, const std::string& recorded_in,
                     const std::filesystem::path& to, std::string& said) const {
  const auto relative = [&](const std::string& path) {
    return path.substr(recorded_in.size() + 1);
  };
  Names names;  // as the process sees them
  for (const auto& [name, file] : start_) names[name] = std::make_shared<File>(*file);
  Names safe_names = names;  // as they are found for sure
  std::vector<const Event*> pending_names;
  std::map<std::uint32_t, std::shared_ptr<File>> files;
  // One change of a name; the file that a new name stands for is known by then.
  std::map<const Event*, std::shared_ptr<File>> created;
  const auto change_name = [&](Names& which, const Event& event) {
    if (event.head.kind == kDiskCreated) which[relative(event.data)] = created.at(&event);
    if (event.head.kind == kDiskRemoved) which.erase(relative(event.data));
    if (event.head.kind != kDiskRenamed) return;
    const std::size_t border = event.data.find('\0');
    const auto from = which.find(relative(event.data.substr(0, border)));
    if (from == which.end()) return;
    which[relative(event.data.substr(border + 1))] = from->second;
    which.erase(relative(event.data.substr(0, border)));
  };
  said.clear();
  for (std::size_t i = 0; i < count; ++i) {
    const Event& event = events_[i];
    switch (event.head.kind) {
      case kDiskFound:
        files[event.head.id] = names.at(relative(event.data));
        break;
      case kDiskCreated:
        created[&event] = files[event.head.id] = std::make_shared<File>();
        [[fallthrough]];
      case kDiskRemoved:
      case kDiskRenamed:
        change_name(names, event);
        pending_names.push_back(&event);
        break;
      case kDiskWritten:
      case kDiskCut:
        files.at(event.head.id)->pending.push_back(&event);
        break;
      case kDiskSynced: {
        File& file = *files.at(event.head.id);
        for (const Event* pending : file.pending) apply(file.safe, *pending, {});
        file.pending.clear();
        break;
      }
      case kDiskNamesSaved:  // names of all folders are few: all are saved
        for (const Event* pending : pending_names) change_name(safe_names, *pending);
        pending_names.clear();
        break;
      default:
        said += event.data;
    }
  }
  // Of what is not safe, any part: of the names the first ones, of the bytes whatever it may be.
  const std::size_t kept_names = random() % (pending_names.size() + 1);
  for (std::size_t i = 0; i < kept_names; ++i) change_name(safe_names, *pending_names[i]);
  const auto mode = random() % 4;  // nothing of it, all of it, whole writes, single sectors
  std::filesystem::remove_all(to);
  for (const auto& [name, file] : safe_names) {
    if (name.ends_with("-shm")) continue;  // shared memory: nobody expects it to be there
    std::string content = file->safe;
    for (const Event* pending : file->pending) {
      if (mode == 0 || (mode >= 2 && random() % 2 == 0)) continue;
      std::string sectors;
      if (mode == 3) {
        for (std::size_t i = 0; i < pending->data.size() / kSector + 1; ++i)
          sectors += static_cast<char>(random() % 2);
      }
      apply(content, *pending, sectors);
    }
    std::filesystem::create_directories((to / name).parent_path());
    std::ofstream(to / name, std::ios::binary) << content;
  }
}

}  // namespace

Verdict test_power(const Settings& settings, const Template& start) {
  Verdict verdict;
  std::mt19937_64 random(settings.seed);
  const auto self = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::size_t runs = settings.runs == 0 ? 10'000 : settings.runs;
  for (const std::string_view task : kTasks) {
    const auto before = settings.folder / "before";
    const auto folder = settings.folder / "recorded";
    const auto log = settings.folder / "disk.log";
    start.copy_to(before, task);
    start.copy_to(folder, task);
    const Outcome outcome = run({self, "--worker", folder.string(), std::string(task)},
                                {{"LD_PRELOAD", settings.disk_layer.string()},
                                 {"NEARLITE_TEST_DISK_FOLDER", folder.string()},
                                 {"NEARLITE_TEST_DISK_LOG", log.string()}});
    if (outcome.signal != 0 || outcome.exit_code != 0) {
      std::printf("FAILED: %.*s, undisturbed, ended with signal %d, exit code %d\n",
                  static_cast<int>(task.size()), task.data(), outcome.signal, outcome.exit_code);
      ++verdict.failures;
      continue;
    }
    const Disk disk(before, read_log(log));
    std::printf("%.*s: %zu changes on the disk\n", static_cast<int>(task.size()), task.data(),
                disk.num_events());
    for (std::size_t i = 0; i < runs / std::size(kTasks) && verdict.failures <= 20; ++i) {
      const std::size_t moment = random() % (disk.num_events() + 1);
      std::string said;
      const auto found = settings.folder / "found";
      disk.cut_after(moment, random, folder.string(), found, said);
      ++verdict.runs;
      const std::size_t failures = judge(found, start.checker(), said);
      if (failures > 0) {
        std::printf("  after a power cut at change %zu of %.*s (state %zu)\n", moment,
                    static_cast<int>(task.size()), task.data(), i);
      }
      verdict.failures += failures;
    }
  }
  return verdict;
}

}  // namespace nearlite::fault_test
