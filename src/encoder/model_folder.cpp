#include "model_folder.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "digests.h"
#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "nearlite/model/kernel_warning.h"
#include "nearlite/model/precision_class.h"
#include "nearlite/model/strict_json.h"
#include "nearlite/model/weights.h"

namespace nearlite {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* kModuleTypes =
    "Transformer, StaticEmbedding, Pooling, Dense, LayerNorm and Normalize of "
    "sentence_transformers";

struct ModuleEntry {
  std::string kind;  // last part of its Python class
  fs::path path;     // relative to the folder
};

json read_json(const fs::path& file) { return parse_strict_json(read_file(file), file.string()); }

/// A folder named by a file of the model must stay inside it.
fs::path inner_path(const json& value, const std::string& where) {
  const std::string text = value.is_string() ? value.get<std::string>() : "";
  const fs::path path = fs::path(text).lexically_normal();
  const bool leaves = path.is_absolute() || (!path.empty() && *path.begin() == "..") ||
                      text.find('\0') != std::string::npos || text.find('\\') != std::string::npos;
  if (!value.is_string() || leaves) {
    throw CorruptData(where + ": the path " + value.dump().substr(0, 80) +
                      " does not lie inside the folder");
  }
  return path;
}

std::vector<ModuleEntry> read_modules(const fs::path& folder) {
  const fs::path file = folder / "modules.json";
  if (!fs::exists(file)) return {{"Transformer", ""}};
  const json parsed = read_json(file);
  if (!parsed.is_array() || parsed.empty() || parsed.size() > 64) {
    throw CorruptData(file.string() + " is not a list of 1 to 64 modules");
  }
  std::vector<ModuleEntry> modules;
  for (const json& each : parsed) {
    if (!each.is_object() || !each.contains("type") || !each["type"].is_string()) {
      throw CorruptData(file.string() + ": a module has no \"type\"");
    }
    const std::string type = each["type"].get<std::string>();
    const std::string kind = type.substr(type.rfind('.') + 1);
    const bool known = kind == "Transformer" || kind == "StaticEmbedding" || kind == "Pooling" ||
                       kind == "Dense" || kind == "LayerNorm" || kind == "Normalize";
    const bool ours = type.starts_with("sentence_transformers.models.") ||
                      type.starts_with("sentence_transformers.base.modules.") ||
                      type.starts_with("sentence_transformers.sentence_transformer.modules.");
    if (!known || !ours) {
      throw CorruptData(file.string() + ": the module '" + type.substr(0, 120) +
                        "' is not supported; supported are " + kModuleTypes);
    }
    modules.push_back({kind, inner_path(each.value("path", json("")), file.string())});
  }
  return modules;
}

/// Reads the optional sentence_bert_config.json (or one of its old names).
json read_sentence_config(const fs::path& folder) {
  for (const char* name : {"sentence_bert_config.json", "sentence_roberta_config.json",
                           "sentence_distilbert_config.json", "sentence_camembert_config.json",
                           "sentence_albert_config.json", "sentence_xlm-roberta_config.json",
                           "sentence_xlnet_config.json"}) {
    if (!fs::exists(folder / name)) continue;
    json parsed = read_json(folder / name);
    if (!parsed.is_object()) throw CorruptData((folder / name).string() + " is not a JSON object");
    return parsed;
  }
  return json::object();
}

json read_optional_object(const fs::path& file) {
  if (!fs::exists(file)) return json::object();
  json parsed = read_json(file);
  if (!parsed.is_object()) throw CorruptData(file.string() + " is not a JSON object");
  return parsed;
}

/// max_seq_length of sentence-transformers, else the tokenizer's own limit, never more than the
/// model has positions.
std::size_t max_tokens_of(const json& sentence_config, const json& tokenizer_config,
                          std::size_t positions, const std::string& where) {
  const auto limited = [&](const json& value) {
    // model_max_length is 1e30 where nobody set it.
    if (value.is_number_float())
      return value.get<double>() >= static_cast<double>(positions)
                 ? positions
                 : static_cast<std::size_t>(std::max(0.0, value.get<double>()));
    return value.is_number_unsigned() ? static_cast<std::size_t>(std::min<std::uint64_t>(
                                            value.get<std::uint64_t>(), positions))
                                      : std::size_t{0};
  };
  std::size_t limit = positions;
  for (const auto& [values, key] : {std::pair{&sentence_config, "max_seq_length"},
                                    std::pair{&tokenizer_config, "model_max_length"}}) {
    const auto found = values->find(key);
    if (found == values->end() || found->is_null()) continue;
    limit = limited(*found);
    if (limit < 3) {
      throw CorruptData(where + ": \"" + key + "\" is " + found->dump().substr(0, 40) +
                        ", allowed is 3 to " + std::to_string(positions));
    }
    break;
  }
  return limit;
}

void read_prompts(const fs::path& folder, ModelInfo& info) {
  const fs::path file = folder / "config_sentence_transformers.json";
  const json values = read_optional_object(file);
  if (const auto type = values.find("model_type");
      type != values.end() && type->is_string() && *type != "SentenceTransformer") {
    throw CorruptData(file.string() + ": the model type " + type->dump() +
                      " is not supported; supported is SentenceTransformer");
  }
  if (const auto prompts = values.find("prompts"); prompts != values.end() && !prompts->is_null()) {
    if (!prompts->is_object()) throw CorruptData(file.string() + ": \"prompts\" is not an object");
    for (const auto& [name, text] : prompts->items()) {
      if (!text.is_string()) {
        throw CorruptData(file.string() + ": the prompt '" + name + "' is not a text");
      }
      info.prompts[name] = text.get<std::string>();
    }
  }
  if (const auto name = values.find("default_prompt_name");
      name != values.end() && name->is_string()) {
    info.default_prompt_name = name->get<std::string>();
    if (!info.prompts.contains(info.default_prompt_name)) {
      throw CorruptData(file.string() + ": \"default_prompt_name\" is '" +
                        info.default_prompt_name + "', which is not among the prompts");
    }
  }
}

/// "language: en", "language: [en, de]" or a list below it, in the front matter of README.md. What
/// is not of this form is passed over: it is only a help.
void read_languages(const fs::path& folder, ModelInfo& info) {
  constexpr std::uint64_t kMostBytes = 1 << 20;
  std::error_code error;
  const fs::path file = folder / "README.md";
  if (fs::file_size(file, error) > kMostBytes || error) return;
  std::istringstream lines(read_file(file));
  std::string line;
  if (!std::getline(lines, line) || !line.starts_with("---")) return;
  bool in_list = false;
  const auto add = [&info](std::string_view names) {
    std::string name;
    for (const char character : std::string(names) + ",") {
      const bool is_part = std::isalnum(static_cast<unsigned char>(character)) != 0 ||
                           character == '-' || character == '_';
      if (is_part) {
        name += character;
      } else if (name.size() >= 2 && name.size() <= 20 && info.languages.size() < 200) {
        info.languages.push_back(name);
        name.clear();
      } else {
        name.clear();
      }
    }
  };
  while (std::getline(lines, line) && !line.starts_with("---")) {
    if (line.starts_with("language:")) {
      add(std::string_view(line).substr(9));
      in_list = true;
    } else if (in_list && (line.starts_with("- ") || line.starts_with("  - "))) {
      add(std::string_view(line).substr(line.find('-') + 1));
    } else {
      in_list = false;
    }
  }
}

/// In a hub cache the files of a snapshot are links to ../../blobs; anywhere else a link out of the
/// folder is refused. Looks at the folder and at those of its modules, not below.
void require_links_inside(const fs::path& folder, const std::vector<ModuleEntry>& modules) {
  fs::path root = fs::canonical(folder);
  if (root.parent_path().filename() == "snapshots" &&
      root.parent_path().parent_path().filename().string().starts_with("models--")) {
    root = root.parent_path().parent_path();
  }
  const auto require_inside = [&root](const fs::path& path) {
    const fs::path real = fs::weakly_canonical(path);
    const auto [end, ignored] = std::mismatch(root.begin(), root.end(), real.begin(), real.end());
    if (end != root.end()) {
      throw CorruptData(
          path.string() + " is a link to " + real.string() + ", outside of " + root.string(),
          "copy the file into the folder");
    }
  };
  std::set<fs::path> folders{folder};
  for (const ModuleEntry& module : modules) folders.insert(folder / module.path);
  for (const fs::path& each : folders) {
    require_inside(each);
    if (!fs::is_directory(each)) continue;  // Normalize has no files
    for (const fs::directory_entry& entry : fs::directory_iterator(each)) {
      const std::string extension = entry.path().extension().string();
      const bool is_read =
          extension == ".json" || extension == ".txt" || extension == ".safetensors";
      if (is_read && entry.is_symlink()) require_inside(entry.path());
    }
  }
}

/// A note if the model brings code of its own: it is never run.
void note_code(const fs::path& folder, const json& config, ModelInfo& info) {
  bool has_code = config.is_object() && config.contains("auto_map");
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    has_code = has_code || entry.path().extension() == ".py";
  }
  if (has_code) info.notes.emplace_back("the model's own Python code is ignored, never run");
  if (!kernel_warning().empty()) info.notes.push_back(kernel_warning());
}

void find_tokenizer(ModelFolder& result, const json& sentence_config,
                    const json& tokenizer_config) {
  const fs::path& folder = result.transformer_folder;
  const auto flag = [](const json& values, bool absent) {
    const auto found = values.find("do_lower_case");
    return found != values.end() && found->is_boolean() ? found->get<bool>() : absent;
  };
  result.tokenizer_lower_case = flag(sentence_config, false);
  if (fs::exists(folder / "tokenizer.json")) {
    result.tokenizer_file = folder / "tokenizer.json";
    return;
  }
  if (!fs::exists(folder / "vocab.txt")) {
    throw NotFound(folder.string() + " has neither tokenizer.json nor vocab.txt");
  }
  result.tokenizer_file = folder / "vocab.txt";
  result.tokenizer_is_vocabulary = true;
  result.tokenizer_lower_case = result.tokenizer_lower_case || flag(tokenizer_config, true);
  result.info.notes.emplace_back("no tokenizer.json: WordPiece from vocab.txt");
}

/// Everything that decides about a vector, one item per line.
std::string identity_text(const ModelFolder& model, DigestCache& cache,
                          std::vector<std::pair<fs::path, FileStamp>>& stamps) {
  std::string text = "nearlite model identity 1\n";
  const auto line = [&](const std::string& key, const std::string& value) {
    text += key + " " + std::to_string(value.size()) + " " + value + "\n";
  };
  const auto file = [&](const std::string& key, const fs::path& path) {
    const DigestCache::Digest digest = cache.digest(path);
    stamps.emplace_back(path, digest.stamp);
    line(key, digest.sha256);
  };
  const auto weights = [&](const std::string& key, const fs::path& folder) {
    for (const std::string& name : Weights::file_names(folder))
      file(key + " " + name, folder / name);
  };
  const TransformerConfig& config = model.transformer;
  if (model.table) line("unknown tokens", model.table->drops_unknown ? "dropped" : "kept");
  line("architecture", model.info.architecture);
  line("shape", shape_text({config.num_layers, config.hidden, config.num_heads, config.intermediate,
                            config.vocabulary, config.max_positions, config.num_token_types}));
  if (config.padding_id) line("positions behind", std::to_string(*config.padding_id));
  if (config.relative_buckets > 0) line("buckets", std::to_string(config.relative_buckets));
  line("epsilon", std::to_string(static_cast<double>(config.layer_norm_epsilon) * 1e15));
  line("activation", std::to_string(static_cast<int>(config.activation)));
  weights("weights", model.transformer_folder);
  file("tokenizer", model.tokenizer_file);
  line("lower case", model.tokenizer_lower_case ? "yes" : "no");
  line("max tokens", std::to_string(model.info.max_tokens));
  line("pooling", pooling_name(model.pooling));
  for (const auto& module : model.after_pooling) {
    if (const auto* dense = std::get_if<DenseConfig>(&module)) {
      line("dense", shape_text({dense->in, dense->out, dense->bias, dense->residual}) +
                        activation_name(dense->activation));
      weights("dense weights", dense->folder);
    } else if (const auto* norm = std::get_if<LayerNormConfig>(&module)) {
      weights("layer norm", norm->folder);
    } else {
      line("normalize", "");
    }
  }
  for (const auto& [name, prompt] : model.info.prompts) {
    line("prompt", name);
    line("text", prompt);
  }
  line("default prompt", model.info.default_prompt_name);
  line("dim", std::to_string(model.info.dim));
  line("precision", std::string(precision_class(model.info.precision)));
  return text;
}

void require_dim(std::size_t found, std::size_t wanted, const char* name, const fs::path& folder) {
  if (found == wanted) return;
  throw CorruptData((folder / "config.json").string() + ": \"" + name + "\" is " +
                    std::to_string(found) + ", the module before gives " + std::to_string(wanted));
}

/// The pooling of a transformer. Returns how many modules have been read.
std::size_t read_pooling(const std::vector<ModuleEntry>& modules, ModelFolder& result) {
  const fs::path& folder = result.info.folder;
  result.info.modules.emplace_back("Transformer");
  std::size_t next = 1;
  if (modules.size() == 1) {
    result.pooling = {.modes = {PoolingMode::kMean}};
    result.info.notes.emplace_back("no pooling is configured: mean");
  } else if (modules[1].kind == "Pooling") {
    result.pooling =
        read_pooling_config(folder / modules[1].path / "config.json", result.transformer.hidden);
    ++next;
  } else {
    throw CorruptData((folder / "modules.json").string() + ": the second module is " +
                      modules[1].kind + ", supported is Pooling");
  }
  result.info.modules.push_back("Pooling(" + pooling_name(result.pooling) + ")");
  return next;
}

void read_modules_after(const std::vector<ModuleEntry>& modules, ModelFolder& result) {
  const fs::path& folder = result.info.folder;
  std::size_t next = 1;
  std::size_t dim = 0;
  if (result.table) {
    result.info.modules.emplace_back("StaticEmbedding");
    dim = result.table->dim;
  } else {
    next = read_pooling(modules, result);
    dim = result.transformer.hidden * result.pooling.modes.size();
  }
  result.info.normalized = false;
  for (; next < modules.size(); ++next) {
    const ModuleEntry& module = modules[next];
    if (module.kind == "Normalize") {
      result.after_pooling.emplace_back(NormalizeConfig{});
      result.info.modules.emplace_back("Normalize");
    } else if (module.kind == "Dense") {
      const DenseConfig dense = read_dense_config(folder / module.path);
      require_dim(dense.in, dim, "in_features", dense.folder);
      dim = dense.out;
      result.after_pooling.emplace_back(dense);
      result.info.modules.push_back("Dense(" + std::to_string(dense.in) + " -> " +
                                    std::to_string(dense.out) + ", " +
                                    activation_name(dense.activation) + ")");
    } else if (module.kind == "LayerNorm") {
      const LayerNormConfig norm = read_layer_norm_config(folder / module.path);
      require_dim(norm.dim, dim, "dimension", norm.folder);
      result.after_pooling.emplace_back(norm);
      result.info.modules.emplace_back("LayerNorm");
    } else {
      throw CorruptData((folder / "modules.json").string() + ": " + module.kind +
                        " at this place is not supported; supported are Dense, LayerNorm and "
                        "Normalize");
    }
    result.info.normalized = module.kind == "Normalize";
  }
  result.info.dim = dim;
}

/// Whether a folder without modules.json is one of model2vec.
bool is_model2vec(const fs::path& folder, const json& config) {
  return !fs::exists(folder / "modules.json") && config.is_object() &&
         config.value("model_type", json()) == "model2vec";
}

/// A table of token vectors. model2vec's own encoder reads 512 tokens and drops unknown ones;
/// sentence-transformers does neither.
void read_table(const json& config, bool is_bare, std::vector<ModuleEntry>& modules,
                ModelFolder& result) {
  constexpr std::size_t kModel2vecTokens = 512;
  constexpr std::size_t kAllTokens = 1'000'000;
  result.table = read_static_config(result.transformer_folder);
  result.table->drops_unknown = is_bare;
  result.info.architecture = is_bare ? "model2vec" : "static";
  result.info.max_tokens = is_bare ? kModel2vecTokens : kAllTokens;
  if (is_bare && config.value("normalize", json(false)) == true) {
    modules.push_back({"Normalize", ""});
  }
}

}  // namespace

namespace {

ModelFolder read_folder(const fs::path& folder, const std::string& name,
                        const fs::path& digest_cache, Precision precision) {
  if (!fs::is_directory(folder)) throw NotFound("there is no model folder " + folder.string());
  std::vector<ModuleEntry> modules = read_modules(folder);
  require_links_inside(folder, modules);
  if (modules[0].kind != "Transformer" && modules[0].kind != "StaticEmbedding") {
    throw CorruptData((folder / "modules.json").string() + ": the first module is " +
                      modules[0].kind + ", supported are Transformer and StaticEmbedding");
  }
  ModelFolder result;
  result.info.name = name;
  result.info.folder = folder;
  result.info.precision = chosen_precision(precision);
  result.transformer_folder = (folder / modules[0].path).lexically_normal();
  const bool is_table = modules[0].kind == "StaticEmbedding";
  const fs::path config_file = result.transformer_folder / "config.json";
  if (!is_table && !fs::exists(config_file)) {
    throw NotFound(result.transformer_folder.string() +
                       " has no config.json; a model folder has config.json, model.safetensors, "
                       "tokenizer.json (or vocab.txt) and, for sentence-transformers, modules.json",
                   "name a sentence-transformers folder, or: nearlite model pull NAME");
  }
  const json config = is_table ? read_optional_object(config_file) : read_json(config_file);
  note_code(result.transformer_folder, config, result.info);
  if (Weights::file_names(result.transformer_folder).empty()) {
    Weights{
        result.transformer_folder};  // throws what is the matter: pickle only, or nothing at all
  }
  const json sentence_config = read_sentence_config(result.transformer_folder);
  const json tokenizer_config =
      read_optional_object(result.transformer_folder / "tokenizer_config.json");
  if (is_table || is_model2vec(folder, config)) {
    read_table(config, !is_table, modules, result);
  } else {
    result.transformer = read_transformer_config(config_file);
    result.info.architecture = result.transformer.architecture;
    result.info.max_tokens = max_tokens_of(sentence_config, tokenizer_config,
                                           result.transformer.max_positions, folder.string());
  }
  read_prompts(folder, result.info);
  read_languages(folder, result.info);
  find_tokenizer(result, sentence_config, tokenizer_config);
  read_modules_after(modules, result);

  DigestCache cache(digest_cache);
  const std::string text = identity_text(result, cache, result.stamps);
  cache.save();
  result.info.identity = sha256_hex(text).substr(0, 32);
  return result;
}

}  // namespace

ModelFolder read_model_folder(const fs::path& folder, const std::string& name,
                              const fs::path& digest_cache, Precision precision) {
  try {
    return read_folder(folder, name, digest_cache, precision);
  } catch (const fs::filesystem_error& error) {  // no right to look, for example
    throw_errno("cannot read the model folder " + folder.string(), error.code().value());
  }
}

void require_unchanged(const ModelFolder& folder) {
  for (const auto& [file, stamp] : folder.stamps) {
    if (stamp_of(file) != stamp) {
      throw Unavailable(file.string() + " was changed after the model was opened",
                        "open the model again");
    }
  }
}

}  // namespace nearlite
