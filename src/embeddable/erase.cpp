// Provable deletion: records go from every file, and their bytes are looked for afterwards.
#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "content.h"
#include "embedder.h"
#include "mixin_state.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/folder.h"
#include "nearlite/store/lease.h"
#include "record_decisions.h"

namespace nearlite {
namespace {

constexpr std::size_t kReadBytes = std::size_t{1} << 20;

/// What is to be gone, while it is still known.
struct Erased {
  RecordKey key;
  std::string key_hash;
  std::set<std::string> texts;
  std::vector<std::vector<std::byte>> vectors;
  std::map<std::uint64_t, std::string> texts_of_windows;  // the bytes behind a window's hash
  std::map<std::uint64_t, const std::vector<std::byte>*> vectors_of_windows;
  std::vector<ByteWindow> windows;
  std::size_t shared = 0;
};

std::uint64_t key_of_salt(const std::string& salt) {
  return std::stoull(salt.substr(0, 16), nullptr, 16);
}

std::span<const std::byte> bytes_of_text(const std::string& text) {
  return std::as_bytes(std::span(text));
}

void add_windows(Erased& erased, std::uint64_t key) {
  for (const std::string& text : erased.texts) {
    const auto bytes = bytes_of_text(text);
    for (const ByteWindow& window : windows_of(bytes, key)) {
      erased.windows.push_back(window);
      erased.texts_of_windows.emplace(window.hash, std::string());
    }
    // Which bytes they are, for as long as this run knows them.
    for (std::size_t at = 0; at < text.size(); at += kWindowBytes) {
      const std::size_t length = std::min(kWindowBytes, text.size());
      const std::size_t begin = std::min(at, text.size() - length);
      const std::string part = text.substr(begin, length);
      for (const ByteWindow& window : windows_of(bytes_of_text(part), key))
        erased.texts_of_windows[window.hash] = part;
    }
  }
  for (const auto& vector : erased.vectors) {
    for (const ByteWindow& window : windows_of(vector, key)) {
      erased.windows.push_back(window);
      erased.vectors_of_windows.emplace(window.hash, &vector);
    }
  }
}

/// Takes out what other records hold too: it stays in the files, and rightly so.
void drop_shared(Erased& erased, const std::set<std::uint64_t>& left, Sidecar& sidecar) {
  std::erase_if(erased.windows, [&](const ByteWindow& window) {
    if (!left.contains(window.hash)) return false;
    const auto text = erased.texts_of_windows.find(window.hash);
    const auto vector = erased.vectors_of_windows.find(window.hash);
    const bool shared =
        (text != erased.texts_of_windows.end() && sidecar.any_text_holds(text->second)) ||
        (vector != erased.vectors_of_windows.end() && sidecar.any_vector_is(*vector->second));
    if (shared) ++erased.shared;
    return shared;
  });
}

bool is_plain_file(const std::filesystem::path& file) {
  std::error_code failed;
  return std::filesystem::is_regular_file(file, failed);
}

/// All files below a folder; links to folders in it are not followed.
void add_files_of(const std::filesystem::path& folder, std::vector<std::filesystem::path>& files) {
  for (const std::string& name : names_in(folder)) {
    const std::filesystem::path path = folder / name;
    std::error_code failed;
    if (is_plain_file(path)) files.push_back(path);
    if (std::filesystem::is_directory(std::filesystem::symlink_status(path, failed)))
      add_files_of(path, files);
  }
}

/// Every file that may hold something of a record of this store, without the database file of the
/// sidecar, which is read through SQLite.
std::vector<std::filesystem::path> files_of(const EngineSettings& settings,
                                            const std::vector<std::filesystem::path>& also) {
  std::vector<std::filesystem::path> files;
  const auto folder = settings.sidecar.parent_path().empty() ? std::filesystem::path(".")
                                                             : settings.sidecar.parent_path();
  const std::set<std::string> stems = {settings.sidecar.stem().string(),
                                       settings.index.stem().string(),
                                       settings.metadata.stem().string()};
  const auto belongs = [&](const std::string& name) {
    return std::ranges::any_of(
        stems, [&](const std::string& stem) { return name.starts_with(stem + "."); });
  };
  std::error_code failed;
  for (const std::string& name : names_in(folder)) {
    if (!belongs(name) || name.ends_with("-shm")) continue;  // -shm holds page numbers and locks
    const std::filesystem::path path = folder / name;
    if (std::filesystem::equivalent(path, settings.sidecar, failed) ||
        std::filesystem::equivalent(path, settings.database, failed)) {
      continue;
    }
    if (is_plain_file(path)) files.push_back(path);
    if (std::filesystem::is_directory(path, failed)) add_files_of(path, files);
  }
  for (const std::filesystem::path& file : also) {
    for (const char* suffix : {"", "-wal"}) {
      std::filesystem::path part = file;
      part += suffix;
      if (is_plain_file(part)) files.push_back(part);
    }
  }
  std::ranges::sort(files);
  return files;
}

struct Left {
  std::filesystem::path file;
  std::set<std::uint64_t> hashes;
};

/// Searches the sidecar and the files; what was found, by file.
std::vector<Left> search_all(Sidecar& sidecar, const std::vector<std::filesystem::path>& files,
                             std::span<const ByteWindow> windows, std::uint64_t key,
                             std::uint64_t& bytes_searched) {
  std::vector<Left> all;
  WindowSearch search(windows, key);
  const auto search_stream = [&](const std::filesystem::path& name, auto read) {
    Left left{name, {}};
    search.restart();
    read([&](std::span<const std::byte> part) {
      bytes_searched += part.size();
      search.feed(
          part, [&](const ByteWindow& window, std::uint64_t) { left.hashes.insert(window.hash); });
    });
    if (!left.hashes.empty()) all.push_back(std::move(left));
  };
  search_stream(sidecar.file(), [&](const auto& visit) { sidecar.read_file_bytes(visit); });
  for (const std::filesystem::path& file : files) {
    search_stream(file, [&](const auto& visit) {
      std::ifstream in(file, std::ios::binary);
      std::vector<char> buffer(kReadBytes);
      while (in) {
        in.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
        visit(std::as_bytes(std::span(buffer).first(static_cast<std::size_t>(in.gcount()))));
      }
      if (!in.eof()) throw Unavailable("cannot read " + file.string());
    });
  }
  return all;
}

/// The texts and vectors of a record: those of its row, and those that were stored.
Erased what_is_known(const EmbeddableDBMixin& db, Sidecar& sidecar, RecordCursor& rows,
                     const RecordKey& key) {
  Erased erased;
  erased.key = key;
  const SourceKey source{db.options().store_name, key.table, key.json};
  const auto row = rows.find(key);
  const auto stored = sidecar.find_record(source);
  if (row) {
    PendingRecord pending;
    pending.content = content_of(db, row->record);
    if (pending.content.kind == Content::Kind::kText) {
      erased.texts.insert(pending.content.text);
      Embedder::govern(pending, *db.options().gate);
      if (!pending.governed_text.empty()) erased.texts.insert(pending.governed_text);
    }
  }
  if (stored && !stored->governed_text.empty()) erased.texts.insert(stored->governed_text);
  erased.vectors = sidecar.vectors_of(source);
  if (!row && !stored) erased.key = RecordKey();
  return erased;
}

}  // namespace

EraseResult EmbeddableDBMixin::erase(std::span<const RecordKey> keys, const EraseOptions& options) {
  if (keys.empty()) throw InvalidArgument("no key to erase was given");
  VectorEngine& vectors = engine();
  const std::string& store = options_.store_name;
  const EngineSettings& settings = vectors.settings();
  vectors.create();
  Sidecar sidecar(settings.sidecar, {.clock = options_.clock});
  const Lease lease(sidecar, store, options.wait);
  std::vector<Erased> all;
  RecordCursor rows = iter_records();
  RecordDecisions decisions = RecordDecisions::of(sidecar, store);
  for (const RecordKey& key : keys) {
    all.push_back(what_is_known(*this, sidecar, rows, key));
    if (all.back().key.json.empty() && !decisions.erased(key))
      throw NotFound("the store " + store + " has no record " + key.display());
    all.back().key = key;
  }
  const std::string now = rfc3339(options_.clock->now());
  std::uint64_t window_key = 0;
  EraseResult result;
  sidecar.connection().execute("PRAGMA secure_delete = ON");
  {
    Transaction transaction = sidecar.begin();
    const std::string salt = sidecar.make_erase_salt();
    window_key = key_of_salt(salt);
    for (Erased& erased : all) {
      erased.key_hash = erased_key_hash(salt, erased.key);
      add_windows(erased, window_key);
      const SourceKey key{store, erased.key.table, erased.key.json};
      sidecar.remove_record(key);
      sidecar.forget_release(key);
      sidecar.put_erased(store, {erased.key_hash, now, false, erased.windows});
    }
    transaction.commit();
  }
  vectors.publish(PublishRule::kAlways);
  sidecar.compact();
  result.files = files_of(settings, options.also);
  std::vector<ByteWindow> windows;
  for (const Erased& erased : all)
    windows.insert(windows.end(), erased.windows.begin(), erased.windows.end());
  std::vector<Left> left =
      search_all(sidecar, result.files, windows, window_key, result.bytes_searched);
  std::set<std::uint64_t> found;
  for (const Left& one : left) found.insert(one.hashes.begin(), one.hashes.end());
  Transaction transaction = sidecar.begin();
  std::string incomplete;
  for (Erased& erased : all) {
    drop_shared(erased, found, sidecar);
    const bool complete = std::ranges::none_of(
        erased.windows, [&](const ByteWindow& window) { return found.contains(window.hash); });
    if (!complete && incomplete.empty()) incomplete = erased.key.display();
    sidecar.put_erased(store, {erased.key_hash, now, complete, erased.windows});
    result.records.push_back({erased.key, erased.key_hash, erased.vectors.size(),
                              erased.windows.size(), erased.shared, now});
  }
  transaction.commit();
  if (!incomplete.empty()) {
    throw Unavailable("record " + incomplete + " is deleted, but bytes of it are still in " +
                          left.front().file.string(),
                      "remove that file if it is an old copy, then run the same command again");
  }
  result.files.insert(result.files.begin(), settings.sidecar);
  return result;
}

bool EmbeddableDBMixin::forget_erasure(const RecordKey& record_id) {
  bool forgotten = false;
  if (!stamp_of(sidecar_path())) return false;
  engine().write([&](Sidecar& sidecar) {
    const std::string salt = sidecar.erase_salt();
    forgotten = !salt.empty() &&
                sidecar.forget_erased(options_.store_name, erased_key_hash(salt, record_id));
  });
  return forgotten;
}

std::vector<CheckFinding> EmbeddableDBMixin::check_erased(
    const std::vector<std::filesystem::path>& also) const {
  std::vector<CheckFinding> findings;
  const EngineSettings& settings = engine().settings();
  engine().read([&](Sidecar& sidecar) {
    const auto records = sidecar.erased(options_.store_name);
    std::vector<ByteWindow> windows;
    std::map<std::uint64_t, std::string> owners;
    for (const ErasedRecord& record : records) {
      windows.insert(windows.end(), record.windows.begin(), record.windows.end());
      for (const ByteWindow& window : record.windows) owners[window.hash] = record.key_hash;
      if (!record.complete) {
        findings.push_back({"erase-incomplete", settings.sidecar.string(),
                            "the erasure " + record.key_hash.substr(0, 16) + " of " +
                                record.erased_at + " was not finished: run erase again",
                            false});
      }
    }
    if (windows.empty()) return;
    std::uint64_t bytes = 0;
    for (const Left& left : search_all(sidecar, files_of(settings, also), windows,
                                       key_of_salt(sidecar.erase_salt()), bytes)) {
      std::set<std::string> erasures;
      for (const std::uint64_t hash : left.hashes) erasures.insert(owners[hash]);
      for (const std::string& erasure : erasures) {
        findings.push_back({"erased-bytes", left.file.string(),
                            left.file.string() + " holds bytes of what was erased (erasure " +
                                erasure.substr(0, 16) + ")",
                            false});
      }
    }
  });
  return findings;
}

}  // namespace nearlite
