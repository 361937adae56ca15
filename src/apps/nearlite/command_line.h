#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace nearlite::cli {

class Context;

/// Runs the chosen command; its exit code.
using Action = std::function<int()>;

/// A command with its one-line description and, under its options in --help, examples.
CLI::App& add_command(CLI::App& parent, const std::string& name, const std::string& description,
                      const std::string& examples = {});

/// A whole number from `least` to `most`: nothing but digits; wrong text names the option and the
/// range.
CLI::Option* add_count(CLI::App& command, const std::string& names, std::size_t& value,
                       std::uint64_t least, std::uint64_t most, const std::string& description);
/// A decimal number from `least` to `most`.
CLI::Option* add_number(CLI::App& command, const std::string& names, double& value, double least,
                        double most, const std::string& description);
/// One of a closed list, any case.
CLI::Option* add_choice(CLI::App& command, const std::string& names, std::string& value,
                        const std::vector<std::string>& choices, const std::string& description);
/// auto, annoy, faiss, flat, graph: what this build can keep.
std::vector<std::string> backend_choices();
/// May be given several times; each takes one value.
CLI::Option* add_list(CLI::App& command, const std::string& names, std::vector<std::string>& values,
                      const std::string& description);

/// Reads the arguments, and sets `context.options`. Returns the action of the chosen command, or
/// nothing when the answer (help, version) was printed. Throws InvalidArgument for everything that
/// is not understood.
Action read_command_line(int argc, char** argv, Context& context);

// One per command, each in its own file under commands/.
void add_index_command(CLI::App& app, Context& context, Action& action);
void add_search_command(CLI::App& app, Context& context, Action& action);
void add_similar_command(CLI::App& app, Context& context, Action& action);
void add_eval_command(CLI::App& app, Context& context, Action& action);
void add_backfill_command(CLI::App& app, Context& context, Action& action);
void add_status_command(CLI::App& app, Context& context, Action& action);
void add_stats_command(CLI::App& app, Context& context, Action& action);
void add_store_command(CLI::App& app, Context& context, Action& action);
void add_import_command(CLI::App& app, Context& context, Action& action);
void add_export_command(CLI::App& app, Context& context, Action& action);
void add_check_command(CLI::App& app, Context& context, Action& action);
void add_embed_command(CLI::App& app, Context& context, Action& action);
void add_model_command(CLI::App& app, Context& context, Action& action);
void add_governance_command(CLI::App& app, Context& context, Action& action);
void add_mcp_command(CLI::App& app, Context& context, Action& action);
void add_serve_command(CLI::App& app, Context& context, Action& action);
void add_erase_command(CLI::App& app, Context& context, Action& action);

}  // namespace nearlite::cli
