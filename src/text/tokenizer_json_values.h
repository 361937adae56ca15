#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "vocabulary.h"

namespace nearlite {

using Json = nlohmann::json;

constexpr std::uint64_t kMaxTokenizerBytes = std::uint64_t{64} << 20U;
constexpr std::size_t kMaxVocabulary = std::size_t{1} << 20U;
constexpr std::size_t kMaxTokenBytes = 1024;

/// Checked access to the values of one tokenizer.json; every message names the file and the place.
class JsonValues {
 public:
  explicit JsonValues(std::filesystem::path file) : file_(std::move(file)) {}

  /// Throws CorruptData.
  [[noreturn]] void fail(const std::string& message) const;
  /// A component that only a newer or another program knows: the file is fine, but we cannot follow
  /// it.
  [[noreturn]] void fail_unsupported(const std::string& part, const std::string& type,
                                     const std::string& known) const;
  [[noreturn]] void fail_id(const Json& id, const std::string& what) const;

  static std::string shown(const Json& value);
  static bool is_id(const Json& value);

  const Json& member(const Json& object, const char* name, const std::string& where) const;
  std::string string_member(const Json& object, const char* name, const std::string& where) const;
  bool bool_member(const Json& object, const char* name, const std::string& where) const;
  /// The same where the member may be missing or null.
  std::string string_member(const Json& object, const char* name, const std::string& where,
                            const char* absent) const;
  bool bool_member(const Json& object, const char* name, const std::string& where,
                   bool absent) const;
  const Json& array_member(const Json& object, const char* name, const std::string& where) const;
  std::int32_t checked_id(const Json& id, const std::string& what) const;

  const std::filesystem::path& file() const noexcept { return file_; }

 private:
  std::filesystem::path file_;
};

/// The long lists of a tokenizer.json, which would take ten times the memory as JSON values.
struct TokenizerLists {
  std::vector<VocabularyEntry> vocabulary;             // "vocab" as an object
  std::vector<std::pair<std::string, double>> scored;  // "vocab" as a list of pairs
  std::vector<std::pair<std::string, std::string>> merges;
};

/// Reads the file into `root`, the lists of its model into `lists`. Throws NotFound, or CorruptData
/// for what is not JSON, too deep, too large or no list of the expected kind.
void read_tokenizer_json(const JsonValues& values, Json& root, TokenizerLists& lists);

}  // namespace nearlite
