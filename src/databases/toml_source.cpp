#include "toml_source.h"

#include <algorithm>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "nearlite/base/utf8.h"

namespace nearlite {
namespace {

/// " (first in line 3)" if the line of an error repeats a section header.
std::string first_of_same_header(std::string_view text, const toml::source_position& at) {
  std::vector<std::string_view> lines;
  for (std::size_t begin = 0; begin < text.size() && lines.size() < at.line;) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  if (lines.size() < at.line || !lines.back().starts_with("[")) return {};
  const std::string_view header = lines.back().substr(0, lines.back().find(']') + 1);
  for (std::size_t i = 0; i + 1 < lines.size(); ++i) {
    if (lines[i].starts_with(header)) return " (first in line " + std::to_string(i + 1) + ")";
  }
  return {};
}

}  // namespace

toml::table TomlSource::parse(std::string_view text) const {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  if (const auto at = find_invalid_utf8(text)) {
    throw InvalidArgument(file_.string() + ": not UTF-8 at byte " + std::to_string(*at));
  }
  try {
    return toml::parse(text, file_.string());
  } catch (const toml::parse_error& error) {
    fail_at(error.source().begin,
            std::string(error.description()) + first_of_same_header(text, error.source().begin));
  }
}

void TomlSource::fail(const toml::node& node, const std::string& message) const {
  fail_at(node.source().begin, message);
}

void TomlSource::fail_at(const toml::source_position& at, const std::string& message) const {
  throw InvalidArgument(file_.string() + ":" + std::to_string(at.line) + ":" +
                        std::to_string(at.column) + ": " + message);
}

const toml::table& TomlSource::table_of(const toml::node& node, const std::string& name) const {
  if (const toml::table* table = node.as_table()) return *table;
  fail(node, "\"" + name + "\" must be a section, [" + name + "]");
}

void TomlSource::check_keys(const toml::table& table, const std::vector<std::string>& known,
                            const std::string& where) const {
  for (auto&& [key, node] : table) {
    const std::string name(key.str());
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const auto near = nearest_name(name, known);
    fail_at(key.source().begin, "unknown key \"" + name + "\"" + where +
                                    (near ? "; did you mean \"" + *near + "\"?" : ".") +
                                    " Known: " + join_names(known));
  }
}

}  // namespace nearlite
