#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <set>

#include "../command_line.h"
#include "../context.h"
#include "../model_choice.h"
#include "../text_input.h"
#include "nearlite/base/error.h"
#include "nearlite/base/folder.h"
#include "nearlite/encoder/language_fit.h"
#include "nearlite/service/model_verification.h"

namespace nearlite::cli {
namespace {

namespace fs = std::filesystem;

struct ModelArguments {
  std::string model;
  std::string precision = "auto";
  std::string input = "-";
};

std::string name_of(const Context& context, const ModelArguments& arguments) {
  return arguments.model.empty() ? context.default_model() : full_model_name(arguments.model);
}

struct FoundModel {
  std::string name;
  fs::path folder;
};

/// Sub-folders by name; nothing if there is no such folder or it may not be read.
std::vector<fs::path> folders_in(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> folders;
  for (const std::string& name : names_in(folder)) {
    if (fs::is_directory(folder / name, error)) folders.push_back(folder / name);
  }
  return folders;
}

/// Models that can be opened by name, in the order in which they are looked for.
std::vector<FoundModel> models_in(const ModelPlaces& places) {
  std::set<std::string> names;
  for (const fs::path& cache : places.hub_caches) {
    for (const fs::path& folder : folders_in(cache)) {
      std::string name = folder.filename().string();
      if (!name.starts_with("models--")) continue;
      name.erase(0, 8);
      if (const std::size_t at = name.find("--"); at != std::string::npos) name.replace(at, 2, "/");
      names.insert(name);
    }
  }
  for (const fs::path& cache : places.own_caches) {
    for (const fs::path& owner : folders_in(cache)) {
      for (const fs::path& folder : folders_in(owner)) {
        names.insert(owner.filename().string() + "/" + folder.filename().string());
      }
    }
  }
  std::vector<FoundModel> found;
  for (const std::string& name : names) {
    try {
      const fs::path folder = find_model(name, places);
      if (fs::exists(folder / "modules.json") || fs::exists(folder / "config.json"))
        found.push_back({name, folder});
    } catch (const Error&) {
      continue;  // a folder that is no model, or a download that was not finished
    }
  }
  return found;
}

int list(Context& context, const ModelArguments& /*arguments*/) {
  const ModelPlaces places = context.model_places();
  const auto models = models_in(places);
  if (context.machine_form()) {
    Json all = Json::array();
    for (const FoundModel& model : models)
      all.push_back({{"model", model.name}, {"folder", model.folder.string()}});
    if (context.options.json) context.put_json({{"models", all}});
    if (context.options.jsonl) {
      for (const Json& model : all) context.put_json(model);
    }
    return 0;
  }
  TextTable table;
  table.column("MODEL");
  table.column("FOLDER");
  for (const FoundModel& model : models)
    table.row({printable(model.name), printable(model.folder.string())});
  if (!models.empty()) context.out.write(table.text());
  if (models.empty())
    context.note("no model on this machine; nearlite model pull " + context.default_model() +
                 " gets one");
  return 0;
}

/// The texts of a file, as many as it takes to see what language they are in.
std::vector<std::string> some_texts(const std::string& file) {
  constexpr std::size_t kEnough = 1000;
  std::vector<std::string> texts;
  TextReader reader(file);
  for (std::string text; texts.size() < kEnough && reader.next(text);) texts.push_back(text);
  return texts;
}

Json tokenizer_json(const TokenizerParts& parts) {
  return {{"model", parts.model},
          {"normalizers", parts.normalizers},
          {"pre_tokenizers", parts.pre_tokenizers},
          {"post_processors", parts.post_processors}};
}

int info(Context& context, const ModelArguments& arguments) {
  const std::string name = name_of(context, arguments);
  const auto encoder = lazy_encoder(name, context.model_places(), context.encoder_options());
  const ModelInfo& model = encoder->info();
  const TokenizerParts parts = encoder->tokenizer_parts();
  Json json = {
      {"model", model.name},
      {"folder", model.folder.string()},
      {"identity", model.identity},
      {"precision", precision_name(model.precision)},
      {"architecture", model.architecture},
      {"dimensions", model.dim},
      {"max_tokens", model.max_tokens},
      {"modules", model.modules},
      {"tokenizer", tokenizer_json(parts)},
      {"languages", model.languages},
      {"normalized", model.normalized},
      {"prompts", model.prompts},
      {"default_prompt_name",
       model.default_prompt_name.empty() ? Json(nullptr) : Json(model.default_prompt_name)},
      {"notes", model.notes}};
  if (arguments.input != "-") {
    const std::vector<std::string> texts = some_texts(arguments.input);
    const LanguageFit fit =
        language_fit(*encoder, std::vector<std::string_view>(texts.begin(), texts.end()));
    json["language_warning"] = fit.warning.empty() ? Json(nullptr) : Json(fit.warning);
    if (!fit.warning.empty()) context.warn(printable(fit.warning));
  }
  if (context.machine_form()) {
    context.put_json(json);
    return 0;
  }
  for (const auto& [key, value] : json.items()) {
    if (value.is_null() || (value.is_structured() && value.empty())) continue;
    std::string text = value.is_string() ? value.get<std::string>() : json_text(value);
    context.out.line(key + std::string(key.size() < 14 ? 14 - key.size() : 1, ' ') +
                     printable(text));
  }
  return 0;
}

int path(Context& context, const ModelArguments& arguments) {
  const fs::path folder = find_model(name_of(context, arguments), context.model_places());
  if (context.machine_form()) {
    context.put_json({{"model", name_of(context, arguments)}, {"folder", folder.string()}});
  } else {
    context.out.line(folder.string());
  }
  return 0;
}

int pull(Context& context, const ModelArguments& arguments) {
  const std::string name = name_of(context, arguments);
  const fs::path folder = download_with_progress(context, name);
  if (context.machine_form()) {
    context.put_json({{"model", name}, {"folder", folder.string()}});
  } else {
    context.out.line(folder.string());
  }
  return 0;
}

int verify(Context& context, const ModelArguments& arguments) {
  EncoderOptions options = context.encoder_options();
  options.precision = precision_of_name(arguments.precision);
  const std::string name = name_of(context, arguments);
  const auto encoder = lazy_encoder(name, context.model_places(), options);
  options.precision = Precision::kFp32;
  const auto exact = lazy_encoder(name, context.model_places(), options);
  const ModelVerification result = verify_model(*encoder, *exact);
  const ModelInfo& model = encoder->info();
  const Json tokenizer = tokenizer_json(encoder->tokenizer_parts());
  if (context.machine_form()) {
    context.put_json({{"model", model.name},
                      {"ok", result.passed},
                      {"precision", precision_name(model.precision)},
                      {"compared_with", result.compared_with},
                      {"texts", result.num_texts},
                      {"truncated", result.num_truncated},
                      {"smallest_cosine", result.smallest_cosine},
                      {"mean_cosine", result.mean_cosine},
                      {"least_cosine", result.least_cosine},
                      {"architecture", model.architecture},
                      {"modules", model.modules},
                      {"tokenizer", tokenizer},
                      {"notes", model.notes}});
    return result.passed ? 0 : 3;
  }
  std::array<char, 128> figures{};
  std::snprintf(figures.data(), figures.size(),
                ": smallest cosine %.8f, mean %.8f over %zu texts, at least %.6f is needed: ",
                result.smallest_cosine, result.mean_cosine, result.num_texts, result.least_cosine);
  context.out.line(printable(model.name) + figures.data() +
                   (result.passed ? "sound" : "NOT SOUND"));
  context.out.line("precision     " + std::string(precision_name(model.precision)) +
                   ", compared with " + result.compared_with);
  context.out.line("truncated     " + with_separators(result.num_truncated) + " of " +
                   with_separators(result.num_texts) + " texts");
  for (std::size_t i = 0; i < model.modules.size(); ++i) {
    context.out.line("module " + std::to_string(i) + "      " + printable(model.modules[i]) +
                     (i == 0 ? " (" + printable(model.architecture) + ")" : ""));
  }
  context.out.line("tokenizer     " + printable(json_text(tokenizer)));
  for (const std::string& note : model.notes) context.out.line("note          " + printable(note));
  return result.passed ? 0 : 3;
}

int tokenize(Context& context, const ModelArguments& arguments) {
  const auto encoder =
      lazy_encoder(name_of(context, arguments), context.model_places(), context.encoder_options());
  TextReader reader(arguments.input);
  for (std::string line; reader.next(line);) {
    const TokenizedText text = encoder->tokenize(line);
    context.put_json({{"ids", text.ids}, {"truncated", text.truncated}});
  }
  return 0;
}

}  // namespace

void add_model_command(CLI::App& app, Context& context, Action& action) {
  CLI::App& model =
      add_command(app, "model", "The models on this machine",
                  "  nearlite model list\n"
                  "  nearlite model pull all-MiniLM-L6-v2\n"
                  "  nearlite model verify all-MiniLM-L6-v2\n"
                  "  echo \"upload failed\" | nearlite model tokenize all-MiniLM-L6-v2 -");
  model.require_subcommand(0, 1);
  auto arguments = std::make_shared<ModelArguments>();
  const auto add = [&](const char* name, const char* description,
                       int (*function)(Context&, const ModelArguments&)) -> CLI::App& {
    CLI::App& command = add_command(model, name, description);
    command.callback([arguments, &context, &action, function] {
      action = [arguments, &context, function] { return function(context, *arguments); };
    });
    return command;
  };
  const auto takes_model = [&](CLI::App& command) {
    command.add_option("MODEL", arguments->model,
                       "A hub name or a folder (default: NEARLITE_MODEL, else all-MiniLM-L6-v2)");
  };
  model.callback([&action] {
    if (!action)
      action = []() -> int {
        throw InvalidArgument("model: which command?",
                              "list, info, pull, verify, path or tokenize");
      };
  });
  add("list", "Models on this machine", &list);
  CLI::App& described = add(
      "info", "What a model is: dimensions, tokens it reads, modules, tokenizer, prompts", &info);
  takes_model(described);
  described
      .add_option("--texts", arguments->input,
                  "Warn if the model does not fit the language of these texts, one per line")
      ->type_name("FILE");
  takes_model(add("pull", "Download a model from the Hugging Face hub into our own cache", &pull));
  CLI::App& check =
      add("verify", "Compare a model with recorded reference vectors, else with its fp32", &verify);
  takes_model(check);
  add_choice(check, "--precision", arguments->precision, {"auto", "fp32", "bf16", "int16", "int8"},
             "Arithmetic to verify");
  takes_model(add("path", "The folder of a model", &path));
  CLI::App& tokens =
      add("tokenize", "The token ids of each line, as the model reads it", &tokenize);
  takes_model(tokens);
  tokens.add_option("FILE", arguments->input, "Texts, one per line (default -: stdin)");
}

}  // namespace nearlite::cli
