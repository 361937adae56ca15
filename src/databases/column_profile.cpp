#include "column_profile.h"

#include <algorithm>
#include <map>
#include <unordered_set>

#include "nearlite/base/error.h"
#include "nearlite/base/utf8.h"
#include "sql_condition.h"
#include "vector_text.h"

namespace nearlite {
namespace {

constexpr std::size_t kChunks = 10;             // places of a large table that are looked at
constexpr std::int64_t kReadCharacters = 2000;  // of each value
constexpr double kMost = 0.6;  // share of the texts that decides what a column holds
constexpr std::size_t kKeptSamples = 200;

struct TextFacts {
  std::size_t words = 0;
  std::size_t letters = 0;
  std::size_t characters = 0;
  double tokens = 0;
};

/// WordPiece makes a token of about 4.5 characters of English, and of 1.4 characters outside of
/// ASCII.
TextFacts facts_of(std::string_view text) {
  TextFacts facts;
  const std::size_t valid = find_invalid_utf8(text).value_or(text.size());
  bool in_word = false;
  std::size_t ascii = 0;
  for (std::size_t at = 0; at < valid;) {
    const char32_t code = next_code_point(text, at);
    const bool blank = code == ' ' || (code >= 9 && code <= 13) || code == 0xA0 || code == 0x3000;
    const bool letter =
        (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z') || (code >= 0xC0 && !blank);
    // Scripts without blanks: every second character counts as a word.
    const bool ideograph = code >= 0x2E80 && code <= 0xD7FF;
    if (ideograph ? facts.characters % 2 == 0 : !blank && !in_word) ++facts.words;
    in_word = !blank && !ideograph;
    facts.letters += letter ? 1U : 0U;
    ++facts.characters;
    ascii += code < 128 ? 1U : 0U;
  }
  facts.tokens =
      static_cast<double>(ascii) / 4.5 + static_cast<double>(facts.characters - ascii) / 1.4;
  return facts;
}

/// Sums over the sample of one column.
class ProfileBuilder {
 public:
  explicit ProfileBuilder(std::string name) { profile_.name = std::move(name); }

  void add(std::string_view type, std::int64_t characters, std::string_view text) {
    ++profile_.rows;
    const bool is_text = type == "text";
    if (type == "integer" || type == "real") ++profile_.numbers;
    if (type == "blob") ++profile_.blobs;
    if (profile_.samples.size() < kKeptSamples) profile_.samples.emplace_back(is_text ? text : "");
    if (!is_text || trimmed(text).empty()) return;
    ++profile_.texts;
    const TextFacts facts = facts_of(text);
    const double whole = facts.characters == 0
                             ? 1.0
                             : std::max(1.0, static_cast<double>(characters) /
                                                 static_cast<double>(facts.characters));
    words_ += static_cast<double>(facts.words) * whole;
    letters_ += facts.letters;
    characters_ += facts.characters;
    tokens_ += facts.tokens * whole + 1;
    distinct_.emplace(text);
    ++shapes_[shape_of_value(text)];
  }

  ColumnProfile finish() {
    const auto texts = static_cast<double>(std::max<std::size_t>(profile_.texts, 1));
    profile_.distinct = distinct_.size();
    profile_.words = words_ / texts;
    profile_.letters =
        static_cast<double>(letters_) / static_cast<double>(std::max<std::size_t>(characters_, 1));
    profile_.tokens = tokens_ / static_cast<double>(std::max<std::size_t>(profile_.rows, 1));
    std::size_t shaped = 0;
    std::size_t largest = 0;
    for (const auto& [shape, count] : shapes_) {
      if (shape.empty()) continue;
      shaped += count;
      if (count > largest) {
        largest = count;
        profile_.shape = shape;
      }
    }
    if (static_cast<double>(shaped) < kMost * texts) profile_.shape.clear();
    return std::move(profile_);
  }

 private:
  ColumnProfile profile_;
  double words_ = 0;
  double tokens_ = 0;
  std::size_t letters_ = 0;
  std::size_t characters_ = 0;
  std::unordered_set<std::string> distinct_;
  std::map<std::string, std::size_t> shapes_;
};

std::string sample_sql(const TableSchema& table, const std::vector<std::string>& columns) {
  std::string sql = "SELECT ";
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const std::string column = quote_identifier(columns[i]);
    if (i > 0) sql += ", ";
    sql += "typeof(" + column + "), CASE typeof(" + column + ") WHEN 'text' THEN length(" + column +
           ") END, CASE typeof(" + column + ") WHEN 'text' THEN substr(" + column + ", 1, " +
           std::to_string(kReadCharacters) + ") END";
  }
  return sql + " FROM " + quote_identifier(table.name);
}

void read_sample(Statement& select, std::vector<ProfileBuilder>& builders) {
  try {
    while (select.step()) {
      for (std::size_t i = 0; i < builders.size(); ++i) {
        const int at = static_cast<int>(i) * 3;
        builders[i].add(select.text(at), select.int64(at + 1), select.text(at + 2));
      }
    }
  } catch (const CorruptData&) {
    select.reset();  // a damaged page: what could be read tells enough
  }
}

}  // namespace

std::vector<ColumnProfile> profile_columns(const Connection& db, const TableSchema& table,
                                           const std::vector<std::string>& columns,
                                           std::uint64_t num_rows, std::size_t max_rows) {
  std::vector<ProfileBuilder> builders;
  for (const std::string& column : columns) builders.emplace_back(column);
  if (columns.empty()) return {};
  const std::string sql = sample_sql(table, columns);
  const auto rowid = table.kind == TableKind::kTable ? table.rowid_name() : std::nullopt;
  if (num_rows <= max_rows || !rowid) {
    Statement select = db.prepare(sql + " LIMIT ?1");
    select.bind(1, static_cast<std::int64_t>(max_rows));
    read_sample(select, builders);
  } else {
    Statement ends =
        db.prepare("SELECT (SELECT min(" + *rowid + ") FROM " + quote_identifier(table.name) +
                   "), (SELECT max(" + *rowid + ") FROM " + quote_identifier(table.name) + ")");
    ends.step();  // reads the two outermost pages only
    const auto first = static_cast<double>(ends.int64(0));
    const auto last = static_cast<double>(ends.int64(1));
    Statement select =
        db.prepare(sql + " WHERE " + *rowid + " >= ?1 ORDER BY " + *rowid + " LIMIT ?2");
    for (std::size_t chunk = 0; chunk < kChunks; ++chunk) {
      const double share = static_cast<double>(chunk) / static_cast<double>(kChunks);
      select.bind(1, static_cast<std::int64_t>(first + (last - first) * share));
      select.bind(2, static_cast<std::int64_t>(max_rows / kChunks));
      read_sample(select, builders);
    }
  }
  std::vector<ColumnProfile> profiles;
  for (ProfileBuilder& builder : builders) profiles.push_back(builder.finish());
  return profiles;
}

}  // namespace nearlite
