#include "links.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "nearlite/base/error.h"

namespace nearlite {
namespace {

constexpr double kLargestBoost = 2.0;
constexpr std::array kTypes = {"bot", "workflow", "enhancement", "error", "information"};

/// The root of each result's group.
std::size_t root_of(std::vector<std::size_t>& parents, std::size_t i) {
  while (parents[i] != i) i = parents[i] = parents[parents[i]];
  return i;
}

std::string path_of(const std::set<std::string>& present) {
  std::vector<std::string> types;
  for (const char* type : kTypes) {
    if (present.contains(type)) types.emplace_back(type);
  }
  for (const std::string& other : present) {
    if (std::ranges::find(kTypes, other) == kTypes.end()) types.push_back(other);
  }
  // They are linked by a bot, also when it is none of the results.
  if (!present.contains("bot")) types.insert(types.begin() + 1, "bot");
  std::string path;
  for (const std::string& type : types) path += (path.empty() ? "" : "->") + type;
  return path;
}

}  // namespace

LinkTables::LinkTables(const std::map<std::string, std::filesystem::path>& databases) {
  for (const auto& [origin, file] : databases) {
    try {
      connections_[origin] = std::make_unique<Connection>(Connection::open_source(file));
    } catch (const Error&) {
      continue;  // the store answered; its links are not known
    }
  }
}

LinkTables::~LinkTables() = default;

std::vector<std::int64_t> LinkTables::ids(const std::string& origin, const std::string& table,
                                          const std::string& wanted, const std::string& by,
                                          std::int64_t id) {
  std::vector<std::int64_t> found;
  const auto connection = connections_.find(origin);
  if (connection == connections_.end()) return found;
  try {
    Statement select = connection->second->prepare("SELECT " + wanted + " FROM " + table +
                                                   " WHERE " + by + " = ?1");
    select.bind(1, id);
    while (select.step()) found.push_back(select.int64(0));
  } catch (const StoreError&) {
    found.clear();  // a missing table means no links
  }
  return found;
}

std::set<std::int64_t> LinkTables::bots_of(const std::string& origin, std::int64_t id) {
  std::set<std::int64_t> bots;
  const auto add = [&](const std::vector<std::int64_t>& more) {
    bots.insert(more.begin(), more.end());
  };
  if (origin == "bot") bots.insert(id);
  if (origin == "workflow") {
    add(ids("bot", "bot_workflow", "bot_id", "workflow_id", id));
    add(ids("workflow", "bot_workflow", "bot_id", "workflow_id", id));
  }
  if (origin == "enhancement") {
    add(ids("bot", "bot_enhancement", "bot_id", "enhancement_id", id));
    add(ids("enhancement", "enhancement_bots", "bot_id", "enhancement_id", id));
  }
  if (origin == "error") {
    add(ids("error", "bot_error", "bot_id", "error_id", id));
    add(ids("error", "error_bot", "bot_id", "error_id", id));
  }
  if (origin == "information") {
    add(ids("information", "info_bots", "bot_id", "info_id", id));
    for (const std::int64_t workflow :
         ids("information", "info_workflows", "workflow_id", "info_id", id)) {
      add(ids("bot", "bot_workflow", "bot_id", "workflow_id", workflow));
    }
  }
  return bots;
}

std::size_t LinkTables::deployments_of(std::int64_t bot) {
  return ids("bot", "bot_workflow", "workflow_id", "bot_id", bot).size() +
         ids("bot", "bot_enhancement", "enhancement_id", "bot_id", bot).size();
}

std::optional<double> LinkTables::number(const std::string& origin, const std::string& table,
                                         const std::string& column, std::int64_t id) {
  const auto connection = connections_.find(origin);
  if (connection == connections_.end()) return std::nullopt;
  try {
    Statement select =
        connection->second->prepare("SELECT " + column + " FROM " + table + " WHERE id = ?1");
    select.bind(1, id);
    if (select.step() && !select.is_null(0)) return select.real(0);
  } catch (const StoreError&) {
    return std::nullopt;
  }
  return std::nullopt;
}

void boost_links(std::span<ResultBundle> results, std::span<const std::set<std::int64_t>> bots,
                 double multiplier) {
  std::vector<std::size_t> parents(results.size());
  std::iota(parents.begin(), parents.end(), 0U);
  std::map<std::int64_t, std::size_t> first_of;  // bot -> the first result that has it
  for (std::size_t i = 0; i < results.size(); ++i) {
    for (const std::int64_t bot : bots[i]) {
      const auto [known, is_new] = first_of.try_emplace(bot, i);
      if (!is_new) parents[root_of(parents, i)] = root_of(parents, known->second);
    }
  }
  std::map<std::size_t, std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < results.size(); ++i) groups[root_of(parents, i)].push_back(i);
  for (const auto& [root, members] : groups) {
    if (members.size() < 2) continue;
    std::set<std::string> types;
    for (const std::size_t member : members) types.insert(results[member].origin_db);
    const std::string path = path_of(types);
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
