#pragma once

#include <toml++/toml.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace nearlite {

/// A TOML file that people write. Every complaint (InvalidArgument) names file, line and column.
/// Base of the readers of nearlite.toml and governance.toml.
class TomlSource {
 public:
  explicit TomlSource(std::filesystem::path file) : file_(std::move(file)) {}

  const std::filesystem::path& file() const { return file_; }

 protected:
  /// The whole text, with or without a byte order mark. Throws if it is not UTF-8 or not TOML.
  toml::table parse(std::string_view text) const;

  [[noreturn]] void fail(const toml::node& node, const std::string& message) const;
  [[noreturn]] void fail_at(const toml::source_position& at, const std::string& message) const;

  /// The section [name]; throws if the node is something else.
  const toml::table& table_of(const toml::node& node, const std::string& name) const;
  /// Refuses keys that are not known, with the nearest one. where: " in [defaults]".
  void check_keys(const toml::table& table, const std::vector<std::string>& known,
                  const std::string& where) const;

 private:
  std::filesystem::path file_;
};

}  // namespace nearlite
