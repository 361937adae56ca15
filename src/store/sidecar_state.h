#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "keyword_lists.h"
#include "nearlite/store/sidecar.h"

namespace nearlite {

/// Gives a prepared statement back reset, also when the use of it threw.
class Prepared {
 public:
  explicit Prepared(Statement& statement) : statement_(statement) { statement_.reset(); }
  ~Prepared() { statement_.reset(); }
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;
  Statement* operator->() { return &statement_; }

 private:
  Statement& statement_;
};

/// The other way of record_state_name().
inline RecordState record_state_of(std::string_view name) {
  for (const RecordState state :
       {RecordState::kEmbedded, RecordState::kSkipped, RecordState::kBlocked}) {
    if (record_state_name(state) == name) return state;
  }
  return RecordState::kEmpty;
}

/// XXH3 over the vector's bytes, seeded with the hash of what the vector belongs to: a vector that
/// moved to another record, passage or model is as wrong as one with a flipped bit.
std::uint64_t vector_checksum(const SourceKey& key, std::int64_t passage,
                              std::string_view model_identity, std::span<const std::byte> vector);
void copy_vector(std::span<const std::byte> blob, std::vector<float>& values);

struct Sidecar::State {
  State(std::filesystem::path path, Connection opened, const Clock& time,
        std::shared_ptr<KeywordLists> lists)
      : file(std::move(path)),
        db(std::move(opened)),
        clock(time),
        keyword_lists(std::move(lists)) {}

  /// The statement of this text, prepared once.
  Prepared sql(std::string_view text) {
    auto found = statements.find(text);
    if (found == statements.end())
      found = statements.emplace(std::string(text), db.prepare(text)).first;
    return Prepared(found->second);
  }
  std::string now() const { return rfc3339(clock.now()); }

  std::filesystem::path file;
  Connection db;
  bool fts5 = false;  // this SQLite has FTS5, and our tokenizer is registered with it
  const Clock& clock;
  std::map<std::string, Statement, std::less<>> statements;  // destroyed before db
  std::shared_ptr<KeywordLists> keyword_lists;
};

}  // namespace nearlite
