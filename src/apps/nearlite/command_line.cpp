#include "command_line.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>
#include <set>

#include "context.h"
#include "nearlite/base/error.h"
#include "nearlite/base/names.h"

namespace nearlite::cli {
namespace {

std::string range_text(double least, double most) {
  char text[96];
  std::snprintf(text, sizeof text, "%.15g to %.15g", least, most);
  return text;
}

[[noreturn]] void refuse(const std::string& names, const std::string& text,
                         const std::string& wanted) {
  const std::string name = names.substr(names.rfind(',') + 1);
  throw InvalidArgument(name + " is \"" + text.substr(0, 80) + "\", it takes " + wanted);
}

/// The options of a command and of those above it that start with "--".
std::vector<std::string> long_options_of(const CLI::App* command) {
  std::vector<std::string> names;
  for (; command != nullptr; command = command->get_parent()) {
    for (const CLI::Option* option : command->get_options()) {
      if (option->get_group().empty()) continue;  // hidden
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return names;
}

[[noreturn]] void refuse_argument(const CLI::App* command, const std::string& argument) {
  const std::string path =
      command->get_parent() == nullptr ? "nearlite" : "nearlite " + command->get_name();
  const std::string name = argument.substr(0, std::min(argument.find('='), std::size_t{80}));
  if (name.size() > 1 && name.front() == '-') {
    const auto nearest = nearest_name(name, long_options_of(command));
    throw InvalidArgument("unknown option " + name,
                          nearest ? "did you mean " + *nearest + "?" : "see " + path + " --help");
  }
  if (command->get_parent() == nullptr ||
      !command->get_subcommands([](const CLI::App*) { return true; }).empty()) {
    std::vector<std::string> names;
    for (const CLI::App* known : command->get_subcommands([](const CLI::App*) { return true; })) {
      names.push_back(known->get_name());
    }
    const auto nearest = nearest_name(name, names);
    throw InvalidArgument(
        "unknown command \"" + name + "\"",
        nearest ? "did you mean " + *nearest + "?" : "commands are " + join_names(names));
  }
  throw InvalidArgument("unexpected argument \"" + name + "\"", "see " + path + " --help");
}

/// The command that was chosen, at any depth.
const CLI::App* chosen(const CLI::App& app) {
  const CLI::App* command = &app;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  return command;
}

void add_global_options(CLI::App& app, GlobalOptions& options) {
  app.add_option("--data-dir", options.data_dir,
                 "Folder of the stores (default: NEARLITE_DATA_DIR, else this folder)");
  app.add_option("--config", options.config,
                 "A nearlite.toml instead of the one in the data folder");
  app.add_option("--memory-budget", options.memory_budget,
                 "What caches and maps may hold, as 512M or 2G (default: NEARLITE_MEMORY_BUDGET, "
                 "else half of the memory)")
      ->type_name("SIZE");
  app.add_flag("--json", options.json, "Print one JSON document");
  app.add_flag("--jsonl", options.jsonl, "Print one JSON object per line");
  app.add_flag("-q,--quiet", options.quiet, "Say nothing on stderr unless something failed");
  app.add_flag("-y,--yes", options.yes, "Answer every question with yes");
  add_count(app, "--threads", options.threads, 1, 1024,
            "Threads that encode (default: one per processor)");
  app.add_option_function<std::string>(
         "--log-level",
         [&options](const std::string& name) {
           options.log_level = log_level_of(name);
           options.log_level_given = true;
         },
         "JSON log lines on stderr: debug, info, warning, error, off (default)")
      ->type_name("L");
  app.add_option_function<std::string>(
         "--log-schema", [&options](const std::string& name) { options.log_ecs = name == "ecs"; },
         "Names of the fields of log lines: otel (default) or ecs")
      ->check(CLI::IsMember({"otel", "ecs"}))
      ->type_name("S");
}

constexpr const char* kEndOfOptions = "--end-of-options";
constexpr char kPlainMark = '\x1f';

/// CLI11 gives what follows "--" to the program instead of its command when that has a positional
/// already. So "--" becomes a hidden flag, which also ends the list of `--db a b`, and what looks
/// like an option behind it is marked as plain. So is "[a,b]" anywhere, the key of a row or a
/// question, which CLI11 would take apart at its commas. take_plain_marks_off() undoes it.
void mark_plain_arguments(std::vector<std::string>& arguments) {
  const auto end = std::find(arguments.begin(), arguments.end(), "--");
  const auto mark = [](std::string& argument) { argument.insert(argument.begin(), kPlainMark); };
  for (auto argument = arguments.begin(); argument != arguments.end(); ++argument) {
    const bool dashed = argument > end && argument->size() > 1 && argument->starts_with('-');
    if (dashed || (argument->starts_with('[') && argument->ends_with(']'))) mark(*argument);
  }
  if (end != arguments.end()) *end = kEndOfOptions;
}

std::string without_plain_mark(const std::string& text) {
  return text.starts_with(kPlainMark) ? text.substr(1) : text;
}

void take_plain_marks_off(CLI::App& command) {
  for (CLI::Option* option : command.get_options(
           [](const CLI::Option* any) { return any->get_items_expected_max() > 0; })) {
    option->transform(without_plain_mark);
  }
  for (CLI::App* part : command.get_subcommands([](const CLI::App*) { return true; }))
    take_plain_marks_off(*part);
}

void check_size_of(int argc, char** argv) {
  constexpr std::size_t kMostBytes = 1 << 18;
  constexpr int kMostArguments = 4096;
  if (argc > kMostArguments) {
    throw InvalidArgument(std::to_string(argc - 1) + " arguments were given, at most " +
                          std::to_string(kMostArguments) + " are read");
  }
  for (int i = 1; i < argc; ++i) {
    if (const std::size_t size = std::string_view(argv[i]).size(); size > kMostBytes) {
      throw InvalidArgument("argument " + std::to_string(i) + " has " + std::to_string(size) +
                            " bytes, at most " + std::to_string(kMostBytes) + " are read");
    }
  }
}

}  // namespace

CLI::App& add_command(CLI::App& parent, const std::string& name, const std::string& description,
                      const std::string& examples) {
  CLI::App& command = *parent.add_subcommand(name, description);
  command.fallthrough();   // global options may follow the command
  command.allow_extras();  // refused by refuse_argument(), with the nearest name
  std::string footer = examples.empty() ? "" : "\nExamples:\n" + examples + "\n";
  command.footer(footer + "\nGlobal options (--json, --data-dir, --quiet, ...): nearlite --help");
  return command;
}

CLI::Option* add_count(CLI::App& command, const std::string& names, std::size_t& value,
                       std::uint64_t least, std::uint64_t most, const std::string& description) {
  return command
      .add_option_function<std::string>(
          names,
          [&value, names, least, most](const std::string& text) {
            std::uint64_t number = 0;
            const auto [end, error] =
                std::from_chars(text.data(), text.data() + text.size(), number);
            if (error != std::errc() || end != text.data() + text.size() || number < least ||
                number > most) {
              refuse(names, text,
                     "a whole number, " + std::to_string(least) + " to " + std::to_string(most));
            }
            value = static_cast<std::size_t>(number);
          },
          description)
      ->type_name("N");
}

CLI::Option* add_number(CLI::App& command, const std::string& names, double& value, double least,
                        double most, const std::string& description) {
  return command
      .add_option_function<std::string>(
          names,
          [&value, names, least, most](const std::string& text) {
            double number = 0;
            const auto [end, error] =
                std::from_chars(text.data(), text.data() + text.size(), number);
            if (error != std::errc() || end != text.data() + text.size() ||
                !(number >= least && number <= most)) {
              refuse(names, text, "a number, " + range_text(least, most));
            }
            value = number;
          },
          description)
      ->type_name("X");
}

CLI::Option* add_choice(CLI::App& command, const std::string& names, std::string& value,
                        const std::vector<std::string>& choices, const std::string& description) {
  return command
      .add_option_function<std::string>(
          names,
          [&value, names, choices](const std::string& text) {
            const std::string lower = to_lower_ascii(text);
            if (std::find(choices.begin(), choices.end(), lower) == choices.end()) {
              refuse(names, text, "one of " + join_names(choices));
            }
            value = lower;
          },
          description + ": " + join_names(choices))
      ->type_name("X");
}

std::vector<std::string> backend_choices() { return {"auto", "annoy", "faiss", "flat", "graph"}; }

CLI::Option* add_list(CLI::App& command, const std::string& names, std::vector<std::string>& values,
                      const std::string& description) {
  return command.add_option(names, values, description)->allow_extra_args(false);
}

Action read_command_line(int argc, char** argv, Context& context) {
  check_size_of(argc, argv);
  // Known before anything is parsed, so that an error in the arguments is also told in the form
  // asked for.
  for (int i = 1; i < argc && std::string_view(argv[i]) != "--"; ++i) {
    if (std::string_view(argv[i]) == "--json") context.options.json = true;
    if (std::string_view(argv[i]) == "--jsonl") context.options.jsonl = true;
  }
  CLI::App app("Semantic search for the SQLite databases you already have.", "nearlite");
  app.set_version_flag("--version", "nearlite " NEARLITE_VERSION);
  app.allow_extras();
  app.require_subcommand(0, 1);
  app.get_formatter()->column_width(34);
  app.footer(
      "\nExamples:\n"
      "  nearlite index app.db --yes              give app.db a search index beside it\n"
      "  nearlite search app.db \"upload failed\"   ask a question\n"
      "  nearlite backfill --all                  embed what is new in every store of this "
      "folder\n\n"
      "nearlite COMMAND --help tells more about a command.");
  add_global_options(app, context.options);
  app.add_flag(kEndOfOptions)->group("");
  Action action;
  add_index_command(app, context, action);
  add_search_command(app, context, action);
  add_similar_command(app, context, action);
  add_eval_command(app, context, action);
  add_backfill_command(app, context, action);
  add_status_command(app, context, action);
  add_stats_command(app, context, action);
  add_store_command(app, context, action);
  add_check_command(app, context, action);
  add_import_command(app, context, action);
  add_export_command(app, context, action);
  add_embed_command(app, context, action);
  add_model_command(app, context, action);
  add_governance_command(app, context, action);
  add_serve_command(app, context, action);
  add_mcp_command(app, context, action);
  add_erase_command(app, context, action);

  std::vector<std::string> arguments(argv + 1, argv + argc);
  if (!arguments.empty() && arguments.front() == "help") {  // "help search" = "search --help"
    arguments.erase(arguments.begin());
    arguments.emplace_back("--help");
  }
  mark_plain_arguments(arguments);
  take_plain_marks_off(app);
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    context.out.line(app.help());
    return {};
  } catch (const CLI::CallForVersion&) {
    context.out.line("nearlite " NEARLITE_VERSION);
    return {};
  } catch (const CLI::ParseError& error) {
    const CLI::App* command = chosen(app);
    throw InvalidArgument(
        error.what(),
        "see nearlite " + (command == &app ? "" : command->get_name() + " ") + "--help");
  }
  context.open_log();
  if (const auto rest = app.remaining(true); !rest.empty()) {
    refuse_argument(chosen(app), without_plain_mark(rest.front()));
  }
  if (context.options.json && context.options.jsonl)
    throw InvalidArgument("--json and --jsonl exclude each other");
  if (!action) throw InvalidArgument("no command given", "see nearlite --help");
  return action;
}

}  // namespace nearlite::cli
