// Changing a nearlite.toml as a careful person would: text is inserted or replaced, the rest keeps
// its bytes.
#include <sys/stat.h>

#include <toml++/toml.h>
#include <algorithm>

#include "config_text.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/names.h"
#include "nearlite/databases/seed_store.h"

namespace nearlite {
namespace {

std::string toml_string(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      out += "\\u00";
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15U];
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string list_of(const std::vector<std::string>& names) {
  std::string out = "[";
  for (std::size_t i = 0; i < names.size(); ++i)
    out += (i == 0 ? "" : ", ") + toml_string(names[i]);
  return out + "]";
}

std::string header_of(const std::string& name) {
  const bool bare = name.find('.') == std::string::npos;
  return "[store." + (bare ? name : toml_string(name)) + "]\n";
}

std::filesystem::path written_path(const std::filesystem::path& file,
                                   const std::filesystem::path& database, ConfigPlace place) {
  const std::filesystem::path folder =
      std::filesystem::absolute(file).lexically_normal().parent_path();
  const std::filesystem::path full = std::filesystem::absolute(database).lexically_normal();
  const std::filesystem::path relative = full.lexically_relative(folder);
  if (relative.empty()) return full;
  const bool outside = *relative.begin() == "..";
  if (!outside) return relative;
  // A sidecar folder beside its database moves together with it.
  const bool beside = relative == std::filesystem::path("..") / full.filename();
  return place == ConfigPlace::kSidecar && beside ? relative : full;
}

std::string section_of(const std::filesystem::path& file, const TableConfig& store,
                       ConfigPlace place) {
  std::string text = header_of(store.name);
  const auto line = [&](const char* key, const std::string& value) {
    text += std::string(key) + " = " + value + "\n";
  };
  line("database", toml_string(written_path(file, store.database, place).generic_string()));
  line("table", toml_string(store.table));
  if (!store.key.empty()) line("key", list_of(store.key));
  if (!store.text.empty()) line("text", list_of(store.text));
  if (!store.text_template.empty()) line("template", toml_string(store.text_template));
  if (!store.vector.empty()) line("vector", toml_string(store.vector));
  if (!store.where.empty()) line("where", toml_string(store.where));
  if (!store.updated.empty()) line("updated", toml_string(store.updated));
  if (!store.expose.empty()) line("expose", list_of(store.expose));
  if (store.backend) line("backend", toml_string(backend_name(*store.backend)));
  if (!store.model.empty()) line("model", toml_string(store.model));
  if (store.governance != TableConfig{}.governance)
    line("governance", toml_string(store.governance));
  return text;
}

std::string read_or_empty(const std::filesystem::path& file) {
  return stamp_of(file) ? read_file(file) : std::string();
}

/// Checks the new text as a reader would, then puts it in place. A symbolic link stays one.
void write_checked(const std::filesystem::path& file, const std::string& text, ConfigPlace place) {
  parse_config(text, file, place);
  struct stat old {};
  const bool exists = ::stat(file.c_str(), &old) == 0;
  const std::filesystem::path target = exists ? std::filesystem::canonical(file) : file;
  AtomicFile out(target, exists ? old.st_mode & 07777U : 0644U);
  out.write(text);
  out.commit();
}

/// The byte where a line (from 1) starts; the end of the text if it has fewer.
std::size_t start_of_line(const std::string& text, std::size_t line) {
  std::size_t at = 0;
  for (std::size_t i = 1; i < line; ++i) {
    at = text.find('\n', at);
    if (at == std::string::npos) return text.size();
    ++at;
  }
  return at;
}

/// toml++ counts columns in code points, from 1.
std::size_t offset_of(const std::string& text, const toml::source_position& position) {
  std::size_t at = start_of_line(text, position.line);
  for (std::size_t column = 1; column < position.column && at < text.size(); ++column) {
    ++at;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) ++at;
  }
  return at;
}

bool is_list_key(const std::string& key) {
  return key == "key" || key == "text" || key == "expose";
}

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

std::string value_text(const std::string& key, const std::string& value) {
  if (key == "generation" || key == "previous_generation") return value;
  if (!is_list_key(key)) return toml_string(value);
  if (trimmed(value).starts_with("[")) return trimmed(value);
  std::vector<std::string> names;
  for (std::size_t at = 0; at <= value.size();) {
    const std::size_t comma = std::min(value.find(',', at), value.size());
    if (const std::string name = trimmed(value.substr(at, comma - at)); !name.empty()) {
      names.push_back(name);
    }
    at = comma + 1;
  }
  return list_of(names);
}

struct ParsedText {
  toml::table root;
  std::string name;  // as the file spells it
  const toml::table* section = nullptr;
};

ParsedText find_section(const std::string& text, const std::string& name) {
  ParsedText parsed{.root = toml::parse(text), .name = name};
  const toml::table* stores = parsed.root["store"].as_table();
  if (stores == nullptr) return parsed;
  for (auto&& [key, node] : *stores) {
    if (to_lower_ascii(key.str()) != to_lower_ascii(name)) continue;
    parsed.name = std::string(key.str());
    parsed.section = node.as_table();
  }
  return parsed;
}

void replace_or_remove(std::string& text, const toml::table& section, const std::string& key,
                       const std::string& value) {
  for (auto&& [name, node] : section) {
    if (name.str() != key) continue;
    const std::size_t begin = offset_of(text, node.source().begin);
    const std::size_t end = offset_of(text, node.source().end);
    if (!value.empty()) {
      text.replace(begin, end - begin, value_text(key, value));
      return;
    }
    const std::size_t line_begin = start_of_line(text, name.source().begin.line);
    const std::size_t line_end = std::min(text.find('\n', end), text.size() - 1);
    text.erase(line_begin, line_end - line_begin + 1);
    return;
  }
}

void insert_key(std::string& text, const toml::table& section, const std::string& key,
                const std::string& value) {
  std::size_t last_line = section.source().begin.line;
  for (auto&& [name, node] : section) {
    last_line = std::max<std::size_t>(last_line, node.source().end.line);
  }
  std::size_t at = start_of_line(text, last_line + 1);
  std::string line = key + " = " + value_text(key, value) + "\n";
  if (at == text.size() && !text.empty() && text.back() != '\n') line = "\n" + line;
  text.insert(at, line);
}

/// Line of the first header behind `line`; 0 if there is none.
std::size_t next_header_line(const toml::table& table, std::size_t line) {
  std::size_t next = 0;
  for (auto&& [key, node] : table) {
    const toml::table* inner = node.as_table();
    if (inner == nullptr) continue;
    const std::size_t own = inner->source().begin.line;
    const std::size_t below = next_header_line(*inner, line);
    for (const std::size_t candidate : {own, below}) {
      if (candidate > line && (next == 0 || candidate < next)) next = candidate;
    }
  }
  return next;
}

bool is_seed_store(const std::string& name) {
  const auto kinds = seed_store_kinds();
  return std::any_of(kinds.begin(), kinds.end(),
                     [&](const SeedStoreKind& kind) { return kind.name == name; });
}

void append_section(std::string& text, const std::string& section) {
  if (!text.empty() && text.back() != '\n') text += '\n';
  if (!text.empty()) text += '\n';
  text += section;
}

}  // namespace

void add_store(const std::filesystem::path& file, const TableConfig& store, ConfigPlace place) {
  check_store_name(store.name);
  std::string text = read_or_empty(file);
  const Config known = parse_config(text, file, place);
  for (const TableConfig& table : known.tables) {
    if (to_lower_ascii(table.name) != to_lower_ascii(store.name)) continue;
    throw InvalidArgument(file.string() + ":" + std::to_string(table.line) +
                          ": there is a store \"" + table.name + "\" already");
  }
  append_section(text, section_of(file, store, place));
  write_checked(file, text, place);
}

namespace {

void set_in_text(std::string& text, const std::filesystem::path& file, const std::string& name,
                 const std::string& key, const std::string& value, ConfigPlace place) {
  const ParsedText parsed = find_section(text, name);
  if (parsed.section == nullptr) {
    if (!is_seed_store(name)) throw_unknown_store(name, parse_config(text, file, place));
    if (value.empty()) return;
    append_section(text, header_of(name) + key + " = " + value_text(key, value) + "\n");
  } else if (parsed.section->contains(key)) {
    replace_or_remove(text, *parsed.section, key, value);
  } else if (!value.empty()) {
    if (parsed.section->is_inline()) {
      throw InvalidArgument(file.string() + ": the store \"" + parsed.name +
                            "\" is written on one line; write it as a section " +
                            header_of(parsed.name).substr(0, header_of(parsed.name).size() - 1));
    }
    insert_key(text, *parsed.section, key, value);
  }
}

}  // namespace

void set_store(const std::filesystem::path& file, const std::string& name,
               const std::vector<std::pair<std::string, std::string>>& changes, ConfigPlace place) {
  std::string text = read_or_empty(file);
  parse_config(text, file, place);
  for (const auto& [key, value] : changes) set_in_text(text, file, name, key, value, place);
  write_checked(file, text, place);
}

void set_store(const std::filesystem::path& file, const std::string& name, const std::string& key,
               const std::string& value, ConfigPlace place) {
  set_store(file, name, {{key, value}}, place);
}

void remove_store(const std::filesystem::path& file, const std::string& name, ConfigPlace place) {
  std::string text = read_or_empty(file);
  const Config config = parse_config(text, file, place);
  const ParsedText parsed = find_section(text, name);
  if (parsed.section == nullptr) throw_unknown_store(name, config);
  const std::size_t line = parsed.section->source().begin.line;
  const std::size_t next = next_header_line(parsed.root, line);
  std::size_t end = next == 0 ? text.size() : start_of_line(text, next);
  // Comments right above the next section belong to it.
  for (std::size_t above = next; next != 0 && above - 1 > line; --above) {
    const std::size_t at = start_of_line(text, above - 1);
    if (text[at] != '#') break;
    end = at;
  }
  const std::size_t begin = start_of_line(text, line);
  text.erase(begin, end - begin);
  write_checked(file, text, place);
}

}  // namespace nearlite
