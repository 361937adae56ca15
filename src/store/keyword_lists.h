#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/base/memory_budget.h"
#include "nearlite/store/sidecar.h"

namespace nearlite {

/// Which passages hold a word, read from the FTS5 table `keyword` once and then kept, since a
/// service is asked the same words again and again. The scores are those of nearlite_rank(), bit
/// for bit. Kept for one state of the table and forgotten when it has another, or when others need
/// the memory. One object may serve many connections to the same file at once, each of them used by
/// one thread.
class KeywordLists {
 public:
  /// One passage that holds the word.
  struct Posting {
    std::int64_t slot;
    std::uint32_t times;
    std::uint32_t tokens;  // of the whole passage
  };

  static constexpr std::size_t kMostPostings = 2'000'000;

  /// most_postings: how many are kept over all words (16 bytes each); the least used words go.
  /// budget: of their memory; null: no other limit.
  explicit KeywordLists(std::size_t most_postings = kMostPostings,
                        std::shared_ptr<MemoryBudget> budget = nullptr);

  /// All passages that match `expression`, a list of quoted words joined by OR, with their scores,
  /// in the order of their slots; `greatest` as in KeywordSearch. Nothing if the expression is of
  /// another kind. Belongs into a read transaction, if others may write. Throws StoreError.
  std::optional<KeywordSearch> matches(Connection& db, std::string_view expression);

  std::size_t num_postings() const;

 private:
  using Postings = std::shared_ptr<const std::vector<Posting>>;
  struct Word {
    std::string text;
    Postings postings;
  };
  /// What holds for all passages, and tells one state of the table from another.
  struct Totals {
    double rows = 1;
    double average_tokens = 1;
    std::uint64_t state = 0;
  };

  static Totals totals(Connection& db);
  Postings postings(Connection& db, std::string_view word, std::uint64_t state);
  Postings kept(std::string_view word, std::uint64_t state);
  void keep(std::string_view word, std::uint64_t state, Postings postings);
  void forget_all();  // needs mutex_
  bool fits();        // needs mutex_

  const std::size_t most_postings_;
  mutable std::mutex mutex_;  // guards all that follows; nothing is read inside it
  std::uint64_t state_ = 0;   // of the table, that the words are of
  std::size_t num_postings_ = 0;
  std::list<Word> words_;  // the last used first
  std::map<std::string, std::list<Word>::iterator, std::less<>> place_of_;
  MemoryBudget::Share share_;
};

}  // namespace nearlite
