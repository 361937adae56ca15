#include "links.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "nearlite/base/error.h"
#include "nearlite/base/sha1.h"

namespace nearlite {
namespace {

constexpr double kLargestBoost = 2.0;
constexpr std::array kTypes = {"bot", "workflow", "enhancement", "error", "information"};

/// The root of each result's group.
std::size_t root_of(std::vector<std::size_t>& parents, std::size_t i) {
  while (parents[i] != i) i = parents[i] = parents[parents[i]];
  return i;
}

std::string path_of(const std::set<std::string>& present, bool with_bot) {
  std::vector<std::string> types;
  for (const char* type : kTypes) {
    if (present.contains(type)) types.emplace_back(type);
  }
  for (const std::string& other : present) {
    if (std::ranges::find(kTypes, other) == kTypes.end()) types.push_back(other);
  }
  // They are linked by a bot, also when it is none of the results.
  if (with_bot && !present.contains("bot")) types.insert(types.begin() + 1, "bot");
  std::string path;
  for (const std::string& type : types) path += (path.empty() ? "" : "->") + type;
  return path;
}

std::optional<double> number_of(const std::optional<Value>& value) {
  if (!value) return std::nullopt;
  if (const auto* whole = std::get_if<std::int64_t>(&*value)) return static_cast<double>(*whole);
  if (const auto* real = std::get_if<double>(&*value)) return *real;
  return std::nullopt;
}

std::vector<std::vector<std::size_t>> groups_of(std::vector<std::size_t>& parents) {
  std::map<std::size_t, std::vector<std::size_t>> by_root;
  for (std::size_t i = 0; i < parents.size(); ++i) by_root[root_of(parents, i)].push_back(i);
  std::vector<std::vector<std::size_t>> groups;
  for (auto& [root, members] : by_root) {
    if (members.size() > 1) groups.push_back(std::move(members));
  }
  return groups;
}

std::vector<std::size_t> each_alone(std::size_t count) {
  std::vector<std::size_t> parents(count);
  std::iota(parents.begin(), parents.end(), 0U);
  return parents;
}

}  // namespace

LinkTables::LinkTables() = default;
LinkTables::~LinkTables() = default;

void LinkTables::add(const std::string& origin, const std::string& store,
                     const std::filesystem::path& database) {
  databases_.emplace(store, database);
  first_.emplace(origin, store);
}

Connection* LinkTables::connection(const std::string& store) {
  auto known = connections_.find(store);
  if (known == connections_.end()) {
    known = connections_.emplace(store, nullptr).first;
    const auto database = databases_.find(store);
    try {
      if (database != databases_.end())
        known->second = std::make_unique<Connection>(Connection::open_source(database->second));
    } catch (const Error&) {
      known->second = nullptr;  // the store answered; its links are not known
    }
  }
  return known->second.get();
}

Connection* LinkTables::first_of(const std::string& origin) {
  const auto store = first_.find(origin);
  return store == first_.end() ? nullptr : connection(store->second);
}

std::vector<std::int64_t> LinkTables::ids(Connection* db, const std::string& table,
                                          const std::string& wanted, const std::string& by,
                                          std::int64_t id) {
  std::vector<std::int64_t> found;
  if (db == nullptr) return found;
  try {
    Statement select =
        db->prepare("SELECT " + wanted + " FROM " + table + " WHERE " + by + " = ?1");
    select.bind(1, id);
    while (select.step()) found.push_back(select.int64(0));
  } catch (const StoreError&) {
    found.clear();  // a missing table means no links
  }
  return found;
}

/// The first column of the first row, if there is one and it is not NULL.
std::optional<Value> LinkTables::value(Connection* db, const std::string& sql,
                                       const Value& parameter) {
  if (db == nullptr) return std::nullopt;
  try {
    Statement select = db->prepare(sql);
    select.bind(1, parameter);
    if (select.step() && !select.is_null(0)) return select.value(0);
  } catch (const StoreError&) {
    return std::nullopt;  // no such table or column
  }
  return std::nullopt;
}

std::set<std::int64_t> LinkTables::bots_of(const std::string& origin, const std::string& store,
                                           std::int64_t id) {
  std::set<std::int64_t> bots;
  const auto add = [&](const std::vector<std::int64_t>& more) {
    bots.insert(more.begin(), more.end());
  };
  if (origin == "bot") bots.insert(id);
  if (origin == "workflow") {
    add(ids(first_of("bot"), "bot_workflow", "bot_id", "workflow_id", id));
    add(ids(connection(store), "bot_workflow", "bot_id", "workflow_id", id));
  }
  if (origin == "enhancement") {
    add(ids(first_of("bot"), "bot_enhancement", "bot_id", "enhancement_id", id));
    add(ids(connection(store), "enhancement_bots", "bot_id", "enhancement_id", id));
  }
  if (origin == "error") {
    add(ids(connection(store), "bot_error", "bot_id", "error_id", id));
    add(ids(connection(store), "error_bot", "bot_id", "error_id", id));
  }
  if (origin == "information") bots = bots_of_information(store, id);
  return bots;
}

/// info_bots and info_workflows name rows of the table info, which is the store research. Where
/// there is no such row, they can only mean those of the table information.
std::set<std::int64_t> LinkTables::bots_of_information(const std::string& store, std::int64_t id) {
  Connection* db = connection(store);
  std::set<std::int64_t> bots;
  const auto add_from = [&](const std::string& prefix) {
    for (const std::int64_t bot : ids(db, prefix + "_bots", "bot_id", "info_id", id))
      bots.insert(bot);
    for (const std::int64_t workflow :
         ids(db, prefix + "_workflows", "workflow_id", "info_id", id)) {
      for (const std::int64_t bot :
           ids(first_of("bot"), "bot_workflow", "bot_id", "workflow_id", workflow))
        bots.insert(bot);
    }
  };
  const bool is_research =
      store == "research" || !value(db, "SELECT 1 FROM info WHERE ?1 IS NOT NULL LIMIT 1", id);
  if (is_research) add_from("info");
  if (store != "research") add_from("information");
  return bots;
}

/// usage_rate; else the first of some figures of performance_data; else how many bots run it.
double LinkTables::usage_of(const std::string& store, std::int64_t id) {
  Connection* db = connection(store);
  if (const auto rate = number_of(value(db, "SELECT usage_rate FROM workflows WHERE id = ?1", id)))
    return *rate;
  for (const char* name : {"runs", "executions", "usage", "count"}) {
    const auto figure =
        number_of(value(db,
                        "SELECT json_extract(performance_data, '$." + std::string(name) +
                            "') FROM workflows WHERE id = ?1 AND json_valid(performance_data)",
                        id));
    if (figure) return *figure;
  }
  return static_cast<double>(bots_of("workflow", store, id).size());
}

/// What the newest run of the code of the row gained; else its score.
std::optional<double> LinkTables::roi_of(const std::string& store, std::int64_t id) {
  Connection* db = connection(store);
  const auto code = value(db, "SELECT after_code FROM enhancements WHERE id = ?1", id);
  if (code && std::holds_alternative<std::string>(*code)) {
    const auto gained =
        number_of(value(db,
                        "SELECT metric_delta FROM enhancement_history WHERE enhanced_hash = ?1 AND "
                        "metric_delta IS NOT NULL ORDER BY ts DESC, id DESC LIMIT 1",
                        sha1_hex(std::get<std::string>(*code))));
    if (gained) return gained;
  }
  return number_of(value(db, "SELECT score FROM enhancements WHERE id = ?1", id));
}

std::optional<std::pair<std::string, double>> LinkTables::signal_of(const std::string& origin,
                                                                    const std::string& store,
                                                                    std::int64_t id) {
  const auto named = [](const char* name, std::optional<double> figure) {
    return figure ? std::optional(std::pair<std::string, double>(name, *figure)) : std::nullopt;
  };
  if (origin == "error") {
    return named("frequency", number_of(value(connection(store),
                                              "SELECT frequency FROM errors WHERE id = ?1", id)));
  }
  if (origin == "enhancement") return named("roi", roi_of(store, id));
  if (origin == "workflow") return named("usage", usage_of(store, id));
  if (origin == "bot") {
    Connection* db = connection(store);
    return named("deploy", static_cast<double>(
                               ids(db, "bot_workflow", "workflow_id", "bot_id", id).size() +
                               ids(db, "bot_enhancement", "enhancement_id", "bot_id", id).size()));
  }
  if (origin == "code") {
    Connection* db = connection(store);
    auto complexity = number_of(value(db, "SELECT complexity FROM code WHERE id = ?1", id));
    if (!complexity)
      complexity = number_of(value(db, "SELECT complexity_score FROM code WHERE id = ?1", id));
    return named("complexity", complexity);
  }
  return std::nullopt;
}

std::vector<std::vector<std::size_t>> groups_by_bots(std::span<const std::set<std::int64_t>> bots) {
  std::vector<std::size_t> parents = each_alone(bots.size());
  std::map<std::int64_t, std::size_t> first_of;  // bot -> the first result that has it
  for (std::size_t i = 0; i < bots.size(); ++i) {
    for (const std::int64_t bot : bots[i]) {
      const auto [known, is_new] = first_of.try_emplace(bot, i);
      if (!is_new) parents[root_of(parents, i)] = root_of(parents, known->second);
    }
  }
  return groups_of(parents);
}

std::vector<std::vector<std::size_t>> groups_by_graph(std::span<const ResultBundle> results,
                                                      const KnowledgeGraph& neighbors) {
  std::vector<std::size_t> parents = each_alone(results.size());
  std::map<std::string, std::size_t> place_of;
  const auto node = [](const ResultBundle& result) {
    return result.origin_db + ":" + result.record_id;
  };
  for (std::size_t i = 0; i < results.size(); ++i) place_of.emplace(node(results[i]), i);
  for (std::size_t i = 0; i < results.size(); ++i) {
    for (const std::string& other : neighbors(node(results[i]))) {
      const auto known = place_of.find(other);
      if (known != place_of.end()) parents[root_of(parents, i)] = root_of(parents, known->second);
    }
  }
  return groups_of(parents);
}

void boost_links(std::span<ResultBundle> results, std::span<const std::vector<std::size_t>> groups,
                 double multiplier, bool with_bot) {
  for (const std::vector<std::size_t>& members : groups) {
    std::set<std::string> types;
    for (const std::size_t member : members) types.insert(results[member].origin_db);
    const std::string path = path_of(types, with_bot);
    for (const std::size_t member : members) {
      ResultBundle& result = results[member];
      result.link_path = path;
      for (const std::size_t other : members) {
        if (other != member) result.linked_records.push_back(results[other].record_id);
      }
      result.reason += " linked via " + path;
      if (multiplier <= 1) continue;
      const double factor = std::min(multiplier, kLargestBoost);
      result.score *= factor;
      for (SignalPart& part : result.parts) {
        part.weight *= factor;
        part.contribution *= factor;
      }
    }
  }
}

}  // namespace nearlite
