#include "keyword_lists.h"

#include <algorithm>
#include <cmath>

#include "keyword_rank.h"
#include "nearlite/base/checksum.h"

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

std::shared_ptr<KeywordLists> make_keyword_lists(std::shared_ptr<MemoryBudget> memory) {
  return std::make_shared<KeywordLists>(KeywordLists::kMostPostings, std::move(memory));
}

KeywordLists::KeywordLists(std::size_t most_postings, std::shared_ptr<MemoryBudget> memory)
    : most_postings_(most_postings), share_(std::move(memory), "words", [this] {
        const std::unique_lock lock(mutex_, std::try_to_lock);
        if (lock) forget_all();
        return lock.owns_lock();
      }) {}

std::optional<KeywordSearch> KeywordLists::matches(Connection& db, std::string_view expression) {
  const auto words = quoted_words(expression);
  if (!words) return std::nullopt;
  KeywordSearch found;
  const Totals all = totals(db);
  double greatest = 0;
  for (const std::string_view word : *words) {
    const Postings held = postings(db, word, all.state);
    const double idf = bm25_idf(all.rows, static_cast<double>(held->size()));
    greatest += bm25_greatest(idf);
    found.matches = added(found.matches, *held, idf, all.average_tokens);
  }
  if (!found.matches.empty()) found.greatest = greatest;
  return found;
}

std::size_t KeywordLists::num_postings() const {
  const std::lock_guard lock(mutex_);
  return num_postings_;
}

void KeywordLists::forget_all() {
  words_.clear();
  place_of_.clear();
  num_postings_ = 0;
}

bool KeywordLists::fits() {
  return num_postings_ <= most_postings_ && share_.resize(num_postings_ * sizeof(Posting));
}

/// The two records of FTS5's own table that each of its writes changes: 1 holds the numbers that
/// xRowCount and xColumnTotalSize know, two varints; 10 how the index is laid out, with a count of
/// what was written to it.
KeywordLists::Totals KeywordLists::totals(Connection& db) {
  Statement row = db.prepare("SELECT block FROM keyword_data WHERE id IN (1, 10) ORDER BY id");
  std::uint64_t numbers[2] = {0, 0};
  Totals made;
  bool is_first = true;
  while (row.step()) {
    const auto bytes = row.blob(0);
    made.state = xxh3_64(bytes, made.state);
    std::size_t at = 0;
    for (std::uint64_t& number : numbers) {
      for (int i = 0; is_first && i < 9 && at < bytes.size(); ++i) {
        const auto byte = std::to_integer<std::uint64_t>(bytes[at++]);
        number = i == 8 ? number << 8 | byte : number << 7 | (byte & 0x7F);
        if (i == 8 || (byte & 0x80) == 0) break;
      }
    }
    is_first = false;
  }
  made.rows = static_cast<double>(std::max<std::uint64_t>(numbers[0], 1));
  made.average_tokens = std::max(static_cast<double>(numbers[1]) / made.rows, 1.0);
  return made;
}

KeywordLists::Postings KeywordLists::postings(Connection& db, std::string_view word,
                                              std::uint64_t state) {
  if (Postings known = kept(word, state)) return known;
  auto read = std::make_shared<std::vector<Posting>>();
  Statement rows = db.prepare(
      "SELECT rowid, nearlite_rank(keyword, 'times') FROM keyword WHERE keyword MATCH ?1 ORDER BY "
      "rowid");
  rows.bind(1, word);
  while (rows.step()) {
    const auto packed = static_cast<std::uint64_t>(rows.int64(1));
    read->push_back({rows.int64(0), static_cast<std::uint32_t>(packed >> 32U),
                     static_cast<std::uint32_t>(packed)});
  }
  keep(word, state, read);
  return read;
}

KeywordLists::Postings KeywordLists::kept(std::string_view word, std::uint64_t state) {
  const std::lock_guard lock(mutex_);
  if (state != state_) {  // another one also after going back: the last reader's counts
    state_ = state;
    forget_all();
    static_cast<void>(fits());
    return nullptr;
  }
  share_.touch();
  const auto known = place_of_.find(word);
  if (known == place_of_.end()) return nullptr;
  words_.splice(words_.begin(), words_, known->second);
  return known->second->postings;
}

void KeywordLists::keep(std::string_view word, std::uint64_t state, Postings postings) {
  const std::lock_guard lock(mutex_);
  if (state != state_ || postings->size() > most_postings_ / 2 || place_of_.contains(word)) return;
  num_postings_ += postings->size() + 1;
  words_.push_front({std::string(word), std::move(postings)});
  place_of_.emplace(words_.front().text, words_.begin());
  while (!fits() && words_.size() > 1) {
    num_postings_ -= words_.back().postings->size() + 1;
    place_of_.erase(words_.back().text);
    words_.pop_back();
  }
  if (fits()) return;
  forget_all();  // this word alone is too much
  static_cast<void>(fits());
}

}  // namespace nearlite
