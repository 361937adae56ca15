#include "index_proposal.h"

#include <algorithm>
#include <array>

#include "nearlite/base/clock.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/names.h"

namespace nearlite::cli {
namespace {

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

double measured_tokens_per_second(const TextEncoder& encoder) {
  // As long as usual texts are; the first batch only loads the weights.
  std::string text;
  for (int i = 0; i < 10; ++i) text += "the quick brown fox jumps over the lazy dog ";
  const std::vector<std::string_view> texts(16, text);
  encoder.encode(std::span(texts).first(1), TextRole::kDocument);
  const Stopwatch stopwatch;
  const EncodedBatch batch = encoder.encode(texts, TextRole::kDocument);
  return static_cast<double>(batch.num_tokens) / stopwatch.elapsed_ms() * 1000;
}

struct Cost {
  std::optional<double> milliseconds;
  std::uint64_t bytes = 0;
};

Cost cost_of(const ProposedTable& table, const ModelSummary& model) {
  Cost cost;
  if (model.tokens_per_second)
    cost.milliseconds = static_cast<double>(table.tokens) / *model.tokens_per_second * 1000;
  // A vector in the truth and one in the segment, and what stands beside it; texts of more than 200
  // tokens are several.
  const std::uint64_t passages = std::max(table.rows, table.tokens / 200);
  cost.bytes = passages * (2 * model.dim * sizeof(float) + 300);
  return cost;
}

Json json_of(const Proposal& proposal, const ModelSummary& model) {
  Json tables = Json::array();
  for (const ProposedTable& table : proposal.tables) {
    Json columns = Json::array();
    for (const ProposedColumn& column : table.columns)
      columns.push_back({{"column", column.name}, {"reason", column.reason}});
    const Cost cost = cost_of(table, model);
    tables.push_back(
        {{"store", table.config.name},
         {"table", table.config.table},
         {"key", table.key},
         {"bare_rowid", table.bare_rowid},
         {"columns", columns},
         {"reason", table.reason},
         {"rows", table.rows},
         {"tokens", table.tokens},
         {"estimated_ms", cost.milliseconds ? Json(*cost.milliseconds) : Json(nullptr)},
         {"estimated_bytes", cost.bytes}});
  }
  Json left_out = Json::array();
  for (const LeftOut& part : proposal.left_out) {
    left_out.push_back({{"table", part.table},
                        {"column", part.column.empty() ? Json(nullptr) : Json(part.column)},
                        {"reason", part.reason}});
  }
  return {{"proposal", {{"model", model.name}, {"tables", tables}, {"left_out", left_out}}}};
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

ModelSummary describe_model(Context& context, const std::string& name, bool measure) {
  ModelSummary summary;
  summary.name = name;
  try {
    const auto encoder = lazy_encoder(name, context.model_places(), context.encoder_options());
    const ModelInfo& info = encoder->info();
    summary.dim = info.dim;
    const std::string language = language_of(info.folder);
    summary.text = name + " (" + language + (language.empty() ? "" : ", ") +
                   std::to_string(info.max_tokens) + " tokens; longer texts are cut into passages)";
    if (measure) summary.tokens_per_second = measured_tokens_per_second(*encoder);
  } catch (const NotFound&) {
    summary.text = name + " (not on this machine yet)";
  }
  return summary;
}

std::string model_of(const ProposedTable& table) { return full_model_name(table.config.model); }

void put_proposal(Context& context, const Proposal& proposal, const ModelSummary& model) {
  if (context.machine_form()) return;
  for (const ProposedTable& table : proposal.tables) {
    const Cost cost = cost_of(table, model);
    std::string line = printable(table.config.name) + ": " + with_separators(table.rows) +
                       " rows, about " + short_number(static_cast<double>(table.tokens)) +
                       " tokens, ";
    if (cost.milliseconds) line += "about " + duration_text(*cost.milliseconds) + ", ";
    line += "about " + size_text(cost.bytes);
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
  context.out.line("model: " + printable(model.text));
  context.out.flush();
}

void put_proposal_json(Context& context, const Proposal& proposal, const ModelSummary& model) {
  context.put_json(json_of(proposal, model));
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
  if (result.embedded > 0) {
    line += " (" + with_separators(result.passages) +
            (result.passages == 1 ? " passage, " : " passages, ") + with_separators(result.tokens) +
            " tokens)";
  }
  line += ", unchanged " + with_separators(result.unchanged) + ", removed " +
          with_separators(result.removed) + ", skipped " +
          with_separators(result.skipped + result.blocked) + ", in " +
          duration_text(result.wall_ms);
  return line;
}

}  // namespace nearlite::cli
