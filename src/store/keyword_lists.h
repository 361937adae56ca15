#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/store/sidecar.h"

namespace nearlite {

/// Which passages hold a word, read from the FTS5 table `keyword` once and then kept, since a
/// service is asked the same words again and again. The scores are those of nearlite_rank(), bit
/// for bit. Forgotten when anybody writes to the sidecar. One thread at a time.
class KeywordLists {
 public:
  /// One passage that holds the word.
  struct Posting {
    std::int64_t slot;
    std::uint32_t times;
    std::uint32_t tokens;  // of the whole passage
  };

  /// most_postings: how many are kept over all words (16 bytes each); the least used words go.
  explicit KeywordLists(std::size_t most_postings = 2'000'000) : most_postings_(most_postings) {}

  /// All passages that match `expression`, a list of quoted words joined by OR, with their scores,
  /// in the order of their slots; `greatest` as in KeywordSearch. Nothing if the expression is of
  /// another kind. Throws StoreError.
  std::optional<KeywordSearch> matches(Connection& db, std::string_view expression);

  std::size_t num_postings() const noexcept { return num_postings_; }

 private:
  struct Word {
    std::string text;
    std::vector<Posting> postings;
  };
  /// What holds for all passages.
  struct Totals {
    double rows = 1;
    double average_tokens = 1;
  };

  void forget_what_is_old(Connection& db);
  Totals totals(Connection& db);
  const std::vector<Posting>& postings(Connection& db, std::string_view word);

  std::size_t most_postings_;
  std::size_t num_postings_ = 0;
  std::int64_t data_version_ = -1;
  std::int64_t own_changes_ = -1;
  std::optional<Totals> totals_;
  std::list<Word> words_;  // the last used first
  std::map<std::string, std::list<Word>::iterator, std::less<>> place_of_;
  std::vector<Posting> too_long_;  // the word at hand, if it is too long to be kept
};

}  // namespace nearlite
