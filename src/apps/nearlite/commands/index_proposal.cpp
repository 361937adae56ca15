#include "index_proposal.h"

#include <algorithm>
#include <chrono>

#include "../backfill_run.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/names.h"
#include "nearlite/databases/table_store.h"

namespace nearlite::cli {
namespace {

// What is counted before somebody is asked: all texts up to this many, of more a sample.
constexpr std::size_t kMostTexts = 4000;
constexpr std::chrono::milliseconds kMostTime{2000};

/// "English" if the model's card says `language: en` (or a list of just that), else nothing.
std::string language_of(const std::filesystem::path& folder) {
  std::string card;
  try {
    card = read_file(folder / "README.md");
  } catch (const Error&) {
    return {};
  }
  if (!card.starts_with("---\n")) return {};
  const std::string head = card.substr(0, card.find("\n---", 4));
  const std::size_t at = head.find("\nlanguage:");
  if (at == std::string::npos) return {};
  const std::string rest = head.substr(at + 10, 40);
  const bool english = rest.starts_with(" en\n") || rest == " en" || rest.starts_with("\n- en\n") ||
                       rest.starts_with("\n  - en\n");
  const bool only = rest.find("- en\n- ") == std::string::npos;
  return english && only ? "English" : "";
}

/// "3,000", or "about 61,000" of a sample.
std::string counted(std::size_t number, bool exact) {
  return (exact ? "" : "about ") + with_separators(number);
}

Json cost_json(const std::optional<CostEstimate>& cost, const ProposedTable& table) {
  if (!cost) {
    return {{"rows", table.rows},
            {"tokens", table.tokens},
            {"estimated_ms", nullptr},
            {"estimated_bytes", nullptr}};
  }
  return {{"rows", cost->rows},
          {"texts", cost->cost.texts},
          {"longer", cost->cost.longer},
          {"passages", cost->cost.passages},
          {"tokens", cost->cost.tokens},
          {"counted", cost->exact ? "all" : "sample"},
          {"estimated_ms", cost->milliseconds ? Json(*cost->milliseconds) : Json(nullptr)},
          {"estimated_bytes", cost->bytes},
          {"language_warning",
           cost->language_warning.empty() ? Json(nullptr) : Json(cost->language_warning)}};
}

Json json_of(const PricedProposal& priced) {
  Json tables = Json::array();
  for (std::size_t i = 0; i < priced.proposal.tables.size(); ++i) {
    const ProposedTable& table = priced.proposal.tables[i];
    Json columns = Json::array();
    for (const ProposedColumn& column : table.columns)
      columns.push_back({{"column", column.name}, {"reason", column.reason}});
    Json json = {{"store", table.config.name}, {"table", table.config.table},
                 {"key", table.key},           {"bare_rowid", table.bare_rowid},
                 {"columns", columns},         {"reason", table.reason}};
    json.update(cost_json(priced.costs[i], table));
    tables.push_back(std::move(json));
  }
  Json left_out = Json::array();
  for (const LeftOut& part : priced.proposal.left_out) {
    left_out.push_back({{"table", part.table},
                        {"column", part.column.empty() ? Json(nullptr) : Json(part.column)},
                        {"reason", part.reason}});
  }
  const ModelSummary& model = priced.model;
  return {{"proposal",
           {{"model", model.name},
            {"language", model.language.empty() ? Json(nullptr) : Json(model.language)},
            {"max_tokens", model.encoder ? Json(model.max_tokens) : Json(nullptr)},
            {"tables", tables},
            {"left_out", left_out}}}};
}

std::string left_out_text(const Proposal& proposal) {
  constexpr std::size_t kMostLines = 20;
  std::string text;
  for (std::size_t i = 0; i < proposal.left_out.size(); ++i) {
    if (i == kMostLines) {
      return text + "  and " + std::to_string(proposal.left_out.size() - i) +
             " more (--json lists them)\n";
    }
    const LeftOut& part = proposal.left_out[i];
    text += "  " + printable(part.column.empty() ? part.table : part.table + "." + part.column) +
            ": " + printable(part.reason) + "\n";
  }
  return text;
}

}  // namespace

ModelSummary describe_model(const Context& context, const std::string& name) {
  ModelSummary summary;
  summary.name = name;
  try {
    auto encoder = lazy_encoder(name, context.model_places(), context.encoder_options());
    const ModelInfo& info = encoder->info();
    summary.max_tokens = info.max_tokens;
    summary.language = language_of(info.folder);
    summary.encoder = std::move(encoder);
  } catch (const NotFound&) {
    summary.encoder = nullptr;  // said in the proposal
  }
  return summary;
}

PricedProposal price(const Context& context, Proposal proposal, const std::string& model,
                     const std::filesystem::path& sidecar_folder) {
  PricedProposal priced{std::move(proposal), describe_model(context, model), {}};
  const std::size_t num_tables = priced.proposal.tables.size();
  priced.costs.resize(num_tables);
  if (!priced.model.encoder || num_tables == 0) return priced;
  CostOptions options;
  options.max_texts = std::max<std::size_t>(kMostTexts / num_tables, 100);
  options.max_time =
      std::max(kMostTime / static_cast<int>(num_tables), std::chrono::milliseconds(100));
  options.threads = context.options.threads;
  std::optional<double> ms_per_token;
  for (std::size_t i = 0; i < num_tables; ++i) {
    const TableConfig& config = priced.proposal.tables[i].config;
    EmbeddableOptions store = TableStore::options_for(config, sidecar_folder);
    store.encoder = priced.model.encoder;
    options.measure = i == 0;  // the table with the most text
    CostEstimate cost = TableStore(config, std::move(store)).estimate_cost(options);
    const auto tokens = static_cast<double>(std::max<std::size_t>(cost.cost.tokens, 1));
    if (cost.milliseconds) ms_per_token = *cost.milliseconds / tokens;
    if (!cost.milliseconds && ms_per_token) cost.milliseconds = *ms_per_token * tokens;
    priced.costs[i] = cost;
  }
  return priced;
}

std::string limit_text(const PricedProposal& priced) {
  const ModelSummary& model = priced.model;
  if (!model.encoder) return "not on this machine yet";
  TextCost all;
  bool exact = true;
  for (const auto& cost : priced.costs) {
    if (!cost) continue;
    all += cost->cost;
    exact = exact && cost->exact;
  }
  std::string text = model.language + (model.language.empty() ? "" : ", ") +
                     std::to_string(model.max_tokens) + " tokens";
  if (all.texts == 0) return text;
  if (all.longer == 0)
    return text + "; " + (exact ? "no text is" : "hardly any text is") + " longer";
  return text + "; " + counted(all.longer, exact) + " of " + with_separators(all.texts) +
         (all.longer == 1 && exact ? " texts is" : " texts are") + " longer: cut into passages";
}

std::string model_of(const ProposedTable& table) { return full_model_name(table.config.model); }

void put_proposal(Context& context, const PricedProposal& priced) {
  for (std::size_t i = 0; i < priced.costs.size(); ++i) {
    const auto& cost = priced.costs[i];
    if (!cost || cost->language_warning.empty()) continue;
    context.warn(printable("table " + priced.proposal.tables[i].config.table + ": " +
                           cost->language_warning));
  }
  const std::string model =
      "model: " + printable(priced.model.name) + " (" + printable(limit_text(priced)) + ")";
  if (context.machine_form()) {
    context.note(model);
    return;
  }
  const Proposal& proposal = priced.proposal;
  for (std::size_t i = 0; i < proposal.tables.size(); ++i) {
    const ProposedTable& table = proposal.tables[i];
    const auto& cost = priced.costs[i];
    std::string line = printable(table.config.name) + ": " +
                       with_separators(cost ? cost->rows : table.rows) + " rows, ";
    if (cost) {
      line += cost->exact ? with_separators(cost->cost.tokens)
                          : "about " + short_number(static_cast<double>(cost->cost.tokens));
      line += " tokens, ";
      if (cost->milliseconds) line += "about " + duration_text(*cost->milliseconds) + ", ";
      line += "about " + size_text(cost->bytes);
    } else {
      line += "about " + short_number(static_cast<double>(table.tokens)) + " tokens";
    }
    context.out.line(line);
    context.out.line(
        "  table " + printable(table.config.table) + ", key " + printable(join_names(table.key)) +
        (table.bare_rowid ? " (VACUUM renumbers it; vectors are then matched again by text)" : "") +
        (table.reason.empty() ? "" : ": " + printable(table.reason)));
    for (const ProposedColumn& column : table.columns) {
      context.out.line("  " + printable(column.name) + ": " + printable(column.reason));
    }
  }
  if (!proposal.left_out.empty()) context.out.write("left out:\n" + left_out_text(proposal));
  context.out.line(model);
  context.out.flush();
}

void put_proposal_json(Context& context, const PricedProposal& priced) {
  context.put_json(json_of(priced));
}

void tell_new_tables(const Context& context, const Proposal& proposal, const std::string& command) {
  if (proposal.tables.empty()) return;
  std::vector<std::string> names;
  for (const ProposedTable& table : proposal.tables) names.push_back(table.config.table);
  context.note("not indexed: table " + join_names(names) + "; " + command + " --propose adds " +
               (names.size() == 1 ? "it" : "them"));
}

std::string index_result_line(const vector_service::StoreBackfill& store, bool dry_run) {
  const BackfillResult& result = *store.result;
  std::string line = printable(store.store) + (dry_run ? ": would embed " : ": embedded ") +
                     with_separators(result.embedded) + (result.embedded == 1 ? " row" : " rows");
  if (result.embedded > 0 && dry_run) line += ", " + with_separators(result.tokens) + " tokens";
  if (result.embedded > 0 && !dry_run) {
    line += " (" + with_separators(result.passages) +
            (result.passages == 1 ? " passage, " : " passages, ") + with_separators(result.tokens) +
            " tokens)";
  }
  if (dry_run) line += ": " + expected_text(result);
  line += ", unchanged " + with_separators(result.unchanged) + ", removed " +
          with_separators(result.removed) + ", skipped " +
          with_separators(result.skipped + result.blocked);
  if (!dry_run) line += ", in " + duration_text(result.wall_ms);
  return line;
}

}  // namespace nearlite::cli
