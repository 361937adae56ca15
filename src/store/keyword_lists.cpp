#include "keyword_lists.h"

#include <sqlite3.h>

#include <algorithm>
#include <cmath>

#include "keyword_rank.h"

namespace nearlite {
namespace {

/// "a" OR "b ""c""" -> its quoted words. Nothing if it is anything else.
std::optional<std::vector<std::string_view>> quoted_words(std::string_view expression) {
  constexpr std::string_view kOr = " OR ";
  std::vector<std::string_view> words;
  while (expression.starts_with('"')) {
    std::size_t end = expression.find('"', 1);
    while (end != std::string_view::npos && expression.substr(end).starts_with("\"\""))
      end = expression.find('"', end + 2);
    if (end == std::string_view::npos) return std::nullopt;
    words.push_back(expression.substr(0, end + 1));
    expression.remove_prefix(end + 1);
    if (expression.empty()) return words;
    if (!expression.starts_with(kOr)) return std::nullopt;
    expression.remove_prefix(kOr.size());
  }
  return std::nullopt;
}

/// Adds what one word contributes; both sides and the result are in the order of slots. A score is
/// the sum of its words in their order, as nearlite_rank() adds them up.
std::vector<KeywordMatch> added(const std::vector<KeywordMatch>& scores,
                                const std::vector<KeywordLists::Posting>& postings, double idf,
                                double average_tokens) {
  std::vector<KeywordMatch> sum;
  sum.reserve(scores.size() + postings.size());
  auto score = scores.begin();
  for (const KeywordLists::Posting& posting : postings) {
    while (score != scores.end() && score->slot < posting.slot) sum.push_back(*score++);
    double value = bm25_part(idf, posting.times, posting.tokens, average_tokens);
    if (score != scores.end() && score->slot == posting.slot) value = score++->score + value;
    sum.push_back({posting.slot, value});
  }
  sum.insert(sum.end(), score, scores.end());
  return sum;
}

}  // namespace

std::optional<KeywordSearch> KeywordLists::matches(Connection& db, std::string_view expression) {
  const auto words = quoted_words(expression);
  if (!words) return std::nullopt;
  forget_what_is_old(db);
  KeywordSearch found;
  const Totals all = totals(db);
  double greatest = 0;
  for (const std::string_view word : *words) {
    const std::vector<Posting>& held = postings(db, word);
    const double idf = bm25_idf(all.rows, static_cast<double>(held.size()));
    greatest += bm25_greatest(idf);
    found.matches = added(found.matches, held, idf, all.average_tokens);
  }
  if (!found.matches.empty()) found.greatest = greatest;
  return found;
}

void KeywordLists::forget_what_is_old(Connection& db) {
  Statement version = db.prepare("PRAGMA data_version");
  version.step();
  const std::int64_t changes = sqlite3_total_changes64(db.handle());
  if (version.int64(0) == data_version_ && changes == own_changes_) return;
  data_version_ = version.int64(0);
  own_changes_ = changes;
  totals_.reset();
  words_.clear();
  place_of_.clear();
  num_postings_ = 0;
}

KeywordLists::Totals KeywordLists::totals(Connection& db) {
  if (totals_) return *totals_;
  // As xRowCount and xColumnTotalSize know them: the record 1 of FTS5's own table, two varints.
  Statement row = db.prepare("SELECT block FROM keyword_data WHERE id = 1");
  std::uint64_t numbers[2] = {0, 0};
  if (row.step()) {
    std::size_t at = 0;
    const auto bytes = row.blob(0);
    for (std::uint64_t& number : numbers) {
      for (int i = 0; i < 9 && at < bytes.size(); ++i) {
        const auto byte = std::to_integer<std::uint64_t>(bytes[at++]);
        number = i == 8 ? number << 8 | byte : number << 7 | (byte & 0x7F);
        if (i == 8 || (byte & 0x80) == 0) break;
      }
    }
  }
  Totals made;
  made.rows = static_cast<double>(std::max<std::uint64_t>(numbers[0], 1));
  made.average_tokens = std::max(static_cast<double>(numbers[1]) / made.rows, 1.0);
  totals_ = made;
  return made;
}

const std::vector<KeywordLists::Posting>& KeywordLists::postings(Connection& db,
                                                                 std::string_view word) {
  if (const auto known = place_of_.find(word); known != place_of_.end()) {
    words_.splice(words_.begin(), words_, known->second);
    return known->second->postings;
  }
  std::vector<Posting> read;
  Statement rows = db.prepare(
      "SELECT rowid, nearlite_rank(keyword, 'times') FROM keyword WHERE keyword MATCH ?1 ORDER BY "
      "rowid");
  rows.bind(1, word);
  while (rows.step()) {
    const auto packed = static_cast<std::uint64_t>(rows.int64(1));
    read.push_back({rows.int64(0), static_cast<std::uint32_t>(packed >> 32U),
                    static_cast<std::uint32_t>(packed)});
  }
  if (read.size() > most_postings_ / 2) {
    too_long_ = std::move(read);
    return too_long_;
  }
  num_postings_ += read.size() + 1;
  words_.push_front({std::string(word), std::move(read)});
  place_of_.emplace(words_.front().text, words_.begin());
  while (num_postings_ > most_postings_ && words_.size() > 1) {
    num_postings_ -= words_.back().postings.size() + 1;
    place_of_.erase(words_.back().text);
    words_.pop_back();
  }
  return words_.front().postings;
}

}  // namespace nearlite
