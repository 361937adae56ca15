#include "nearlite/databases/proposal.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "column_profile.h"
#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "sql_condition.h"

namespace nearlite {
namespace {

constexpr double kProseWords = 4;    // words on average that make a text
constexpr double kTitleWords = 2.5;  // words that make a short text worth searching alone
constexpr double kOneWord = 1.5;     // below this a column holds single words
constexpr double kLetters = 0.5;     // share of letters in anything people wrote
constexpr double kDifferent = 0.5;   // share of different values that tells titles from categories
constexpr std::size_t kCategorySample = 20;  // below this many texts nothing is called a category

std::string with_one_digit(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  std::string shown = text;
  if (shown.ends_with(".0")) shown.resize(shown.size() - 2);
  return shown;
}

std::string words_on_average(const ColumnProfile& profile) {
  const std::string words = with_one_digit(profile.words);
  return words + (words == "1" ? " word" : " words") + " on average";
}

bool named_like_a_title(const std::string& column) {
  const std::string lower = to_lower_ascii(column);
  for (const char* ending : {"title", "name", "subject", "headline", "caption", "label", "question",
                             "summary", "topic", "heading"}) {
    if (lower.ends_with(ending)) return true;
  }
  return false;
}

/// EPSG, IAU_2015: codes are written in capitals, names of people and things are not. Letters
/// beyond ASCII count as small ones.
bool has_lower_case(const std::vector<std::string>& samples) {
  return std::any_of(samples.begin(), samples.end(), [](const std::string& sample) {
    return std::any_of(sample.begin(), sample.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || static_cast<unsigned char>(c) >= 0x80U;
    });
  });
}

enum class Role { kLeftOut, kProse, kTitle, kShortName };

struct Verdict {
  Role role = Role::kLeftOut;
  std::string reason;
};

Verdict judge(const ColumnProfile& profile) {
  if (profile.texts == 0) {
    if (profile.blobs > 0) return {Role::kLeftOut, "BLOBs"};
    if (profile.numbers > 0) return {Role::kLeftOut, "numbers"};
    return {Role::kLeftOut, "empty"};
  }
  if (profile.numbers > profile.texts) return {Role::kLeftOut, "numbers"};
  if (profile.blobs > profile.texts) return {Role::kLeftOut, "BLOBs"};
  if (!profile.shape.empty()) return {Role::kLeftOut, profile.shape};
  if (profile.letters < kLetters) return {Role::kLeftOut, "codes or numbers"};
  const double different =
      static_cast<double>(profile.distinct) / static_cast<double>(profile.texts);
  const bool category = profile.texts >= kCategorySample && different < 0.1;
  if (category && profile.words < 3 * kProseWords) {
    if (profile.distinct == 1) return {Role::kLeftOut, "always the same value"};
    return {Role::kLeftOut, "a category of " + std::to_string(profile.distinct) +
                                " different values, better used as a filter"};
  }
  if (profile.words >= kProseWords) {
    return {Role::kProse, "text, " + words_on_average(profile)};
  }
  // In a small table every short text looks different: one word must be so.
  const bool title =
      different >= kDifferent || (profile.texts < kCategorySample && profile.words >= kOneWord);
  if (profile.words < kOneWord && !has_lower_case(profile.samples))
    return {Role::kLeftOut, "single words or codes"};
  if (title && profile.words >= kTitleWords) {
    return {Role::kTitle, "short text, " + words_on_average(profile)};
  }
  if (title && (named_like_a_title(profile.name) || profile.words >= 1.5)) {
    return {Role::kShortName, "names or titles, " + words_on_average(profile)};
  }
  return {Role::kLeftOut, "single words or codes"};
}

bool mostly_equal(const ColumnProfile& a, const ColumnProfile& b) {
  std::size_t equal = 0;
  std::size_t compared = 0;
  for (std::size_t i = 0; i < std::min(a.samples.size(), b.samples.size()); ++i) {
    if (a.samples[i].empty()) continue;
    ++compared;
    equal += a.samples[i] == b.samples[i] ? 1U : 0U;
  }
  return compared > 0 && static_cast<double>(equal) >= 0.9 * static_cast<double>(compared);
}

/// Whether `derived` holds hardly more than what `base` holds, in another case or with a few more
/// signs: what a generated column for sorting or display is like. One that takes text out of JSON
/// is not.
bool mostly_repeats(const ColumnProfile& derived, const ColumnProfile& base) {
  std::size_t repeated = 0;
  std::size_t compared = 0;
  for (std::size_t i = 0; i < std::min(derived.samples.size(), base.samples.size()); ++i) {
    const std::string from = to_lower_ascii(base.samples[i]);
    const std::string made = to_lower_ascii(derived.samples[i]);
    if (from.empty() || made.empty()) continue;
    ++compared;
    const bool holds_it = made.find(from) != std::string::npos;
    repeated += holds_it && 4 * made.size() <= 5 * from.size() ? 1U : 0U;
  }
  return compared > 0 && static_cast<double>(repeated) >= 0.9 * static_cast<double>(compared);
}

bool contains_name(const std::vector<std::string>& names, const std::string& name) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& other) {
    return to_lower_ascii(other) == to_lower_ascii(name);
  });
}

/// Builds the proposal of one database, table by table.
class Proposer {
 public:
  Proposer(const Connection& db, const std::filesystem::path& database,
           const ProposalOptions& options)
      : db_(db), database_(database), options_(options), taken_(options.taken_names) {}

  Proposal run() {
    if (!options_.tables.empty()) {
      for (const auto& [name, columns] : options_.tables) propose_asked(name, columns);
    } else {
      check_names_asked();
      for (const TableSchema& table : read_schema(db_)) consider(table);
    }
    std::stable_sort(proposal_.tables.begin(), proposal_.tables.end(),
                     [](const auto& a, const auto& b) { return a.tokens > b.tokens; });
    for (ProposedTable& table : proposal_.tables) name_store(table);
    return std::move(proposal_);
  }

 private:
  void leave_out(const std::string& table, const std::string& column, std::string reason) {
    proposal_.left_out.push_back({table, column, std::move(reason)});
  }

  void check_names_asked() const {
    const std::vector<TableSchema> schema = read_schema(db_);
    for (const std::string& column : options_.columns) {
      std::vector<std::string> known;
      bool found = false;
      for (const TableSchema& table : schema) {
        found = found || table.column(column) != nullptr;
        for (const std::string& name : table.column_names()) {
          if (!contains_name(known, name)) known.push_back(name);
        }
      }
      if (found) continue;
      const auto near = nearest_name(column, known);
      throw NotFound("no table has a column \"" + column + "\"" +
                     (near ? "; did you mean \"" + *near + "\"?" : ""));
    }
    for (const std::string& excluded : options_.excluded_tables) read_table(db_, excluded);
  }

  std::string reason_to_skip(const TableSchema& table) const {
    const auto is_this = [&](const std::string& name) {
      return to_lower_ascii(name) == to_lower_ascii(table.name);
    };
    if (std::ranges::any_of(options_.excluded_tables, is_this)) return "excluded as asked";
    if (std::ranges::any_of(options_.recorded_tables, is_this)) return "recorded already";
    switch (table.kind) {
      case TableKind::kShadow:
        return "inner data of a virtual table";
      case TableKind::kVirtual:
        return "a virtual table (full-text index or extension); name it to embed it";
      case TableKind::kView:
        return "a view; name it to embed it";
      case TableKind::kTable:
        break;
    }
    return table_reason_by_name(table.name);
  }

  void consider(const TableSchema& table) {
    if (std::string reason = reason_to_skip(table); !reason.empty()) {
      return leave_out(table.name, {}, std::move(reason));
    }
    std::vector<std::string> wanted;
    for (const std::string& column : options_.columns) {
      if (const ColumnSchema* found = table.column(column)) wanted.push_back(found->name);
    }
    if (!options_.columns.empty() && wanted.empty()) {
      return leave_out(table.name, {}, "has none of the columns asked for");
    }
    try {
      propose_table(table, wanted, false);
    } catch (const StoreError& error) {
      leave_out(table.name, {}, error.what());  // a missing collation or function: others go on
    } catch (const CorruptData& error) {
      leave_out(table.name, {}, error.what());
    }
  }

  void propose_asked(const std::string& name, const std::vector<std::string>& columns) {
    const TableSchema table = read_table(db_, name);
    std::vector<std::string> wanted;
    for (const std::string& column : columns) wanted.push_back(known_column(table, column));
    if (columns.empty()) {
      for (const std::string& column : options_.columns) {
        wanted.push_back(known_column(table, column));
      }
    }
    if (!options_.where.empty()) check_condition(db_, table, options_.where);
    propose_table(table, wanted, true);
  }

  std::uint64_t count_rows(const TableSchema& table, bool asked) const {
    std::string sql = "SELECT count(*) FROM " + quote_identifier(table.name);
    if (asked && !options_.where.empty()) sql += " WHERE (" + options_.where + "\n)";
    Statement select = db_.prepare(sql);
    try {
      select.step();
      return static_cast<std::uint64_t>(select.int64(0));
    } catch (const CorruptData&) {
      return count_rows_before_damage(table);
    }
  }

  std::uint64_t count_rows_before_damage(const TableSchema& table) const {
    Statement rows = db_.prepare("SELECT 1 FROM " + quote_identifier(table.name));
    std::uint64_t count = 0;
    try {
      while (rows.step()) ++count;
    } catch (const CorruptData&) {
      return count;
    }
    return count;
  }

  void propose_table(const TableSchema& table, const std::vector<std::string>& wanted, bool asked) {
    TableKey key;
    try {
      key = key_of(db_, table, asked ? options_.key : std::vector<std::string>{});
    } catch (const InvalidArgument& error) {
      if (asked) throw;
      return leave_out(table.name, {}, error.what());
    }
    ProposedTable proposed;
    proposed.rows = count_rows(table, asked);
    proposed.key = key.columns;
    proposed.bare_rowid = key.bare_rowid;
    if (proposed.rows == 0 && wanted.empty()) {
      if (!asked) return leave_out(table.name, {}, "no rows");
      throw InvalidArgument(
          "\"" + table.name + "\" has no rows, so its text columns cannot be told",
          "name them: --table " + table.name + ":COLUMN,COLUMN");
    }
    const std::vector<ColumnProfile> profiles = read_profiles(table, key, wanted, proposed.rows);
    if (wanted.empty()) {
      choose(table, profiles, asked, proposed);
    } else {
      for (const ColumnProfile& profile : profiles) {
        add_column(proposed, profile, "asked for; " + words_on_average(profile));
      }
    }
    if (proposed.columns.empty()) {
      if (!asked) return;
      throw InvalidArgument("no column of \"" + table.name + "\" looks like text that people wrote",
                            "name columns: --table " + table.name + ":COLUMN,COLUMN");
    }
    finish(table, asked, std::move(proposed));
  }

  std::vector<ColumnProfile> read_profiles(const TableSchema& table, const TableKey& key,
                                           const std::vector<std::string>& wanted,
                                           std::uint64_t num_rows) {
    std::vector<std::string> columns = wanted;
    if (wanted.empty()) {
      for (const ColumnSchema& column : table.columns) {
        std::string reason = reason_by_name(column.name);
        const bool only_key = key.columns.size() == 1 && contains_name(key.columns, column.name);
        if (reason.empty() && only_key && table.integer_primary_key()) reason = "the key";
        if (reason.empty()) {
          columns.push_back(column.name);
        } else {
          leave_out(table.name, column.name, std::move(reason));
        }
      }
    }
    return profile_columns(db_, table, columns, num_rows, options_.sampled_rows);
  }

  static void add_column(ProposedTable& proposed, const ColumnProfile& profile,
                         std::string reason) {
    proposed.columns.push_back({profile.name, std::move(reason)});
    proposed.config.text.push_back(profile.name);
    proposed.tokens += static_cast<std::uint64_t>(
        std::llround(profile.tokens * static_cast<double>(proposed.rows)));
  }

  void choose(const TableSchema& table, const std::vector<ColumnProfile>& profiles, bool asked,
              ProposedTable& proposed) {
    std::vector<Verdict> verdicts;
    bool worth_it = asked;  // somebody who names a table wants also its short names
    for (const ColumnProfile& profile : profiles) {
      verdicts.push_back(judge(profile));
      if (!asked && proposed.key.size() > 1 && contains_name(proposed.key, profile.name) &&
          profile.words < kOneWord && verdicts.back().role != Role::kLeftOut) {
        verdicts.back() = {Role::kLeftOut, "a part of the key, single words"};
      }
      worth_it =
          worth_it || verdicts.back().role == Role::kProse || verdicts.back().role == Role::kTitle;
    }
    bool any_text = false;
    for (std::size_t i = 0; i < profiles.size(); ++i) {
      Verdict& verdict = verdicts[i];
      if (verdict.role != Role::kLeftOut) any_text = true;
      if (verdict.role != Role::kLeftOut && worth_it) {
        const ColumnSchema* column = table.column(profiles[i].name);
        const bool generated = column != nullptr && column->generated;
        const std::string twin = equal_column(proposed, profiles, i, generated);
        if (twin.empty()) {
          add_column(proposed, profiles[i], verdict.reason);
          continue;
        }
        verdict.reason = (generated ? "computed, and the same text as " : "the same as ") + twin;
      }
      if (verdict.role != Role::kLeftOut && !worth_it) {
        verdict.reason += ", and nothing longer beside them";
      }
      leave_out(table.name, profiles[i].name, verdict.reason);
    }
    if (proposed.columns.empty() && !asked) {
      leave_out(table.name, {}, any_text ? "only short names" : "no text that people wrote");
    }
  }

  static std::string equal_column(const ProposedTable& proposed,
                                  const std::vector<ColumnProfile>& profiles, std::size_t index,
                                  bool generated) {
    for (std::size_t i = 0; i < index; ++i) {
      if (!contains_name(proposed.config.text, profiles[i].name)) continue;
      if (mostly_equal(profiles[index], profiles[i]) ||
          (generated && mostly_repeats(profiles[index], profiles[i]))) {
        return profiles[i].name;
      }
    }
    return {};
  }

  void finish(const TableSchema& table, bool asked, ProposedTable proposed) {
    proposed.config.table = table.name;
    proposed.config.key = proposed.key;
    if (asked) proposed.config.where = options_.where;
    proposed.reason = asked ? "asked for" : "text that people wrote";
    proposed.tokens += 2 * proposed.rows;  // the model's own two tokens of each text
    proposal_.tables.push_back(std::move(proposed));
  }

  void name_store(ProposedTable& table) {
    table.config.name = default_store_name(table.config.table, database_, taken_);
    taken_.push_back(table.config.name);
  }

  const Connection& db_;
  const std::filesystem::path& database_;
  const ProposalOptions& options_;
  std::vector<std::string> taken_;
  Proposal proposal_;
};

}  // namespace

Proposal propose(const Connection& db, const std::filesystem::path& database,
                 const ProposalOptions& options) {
  return Proposer(db, database, options).run();
}

}  // namespace nearlite
