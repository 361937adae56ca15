#include "original_json.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "nearlite/base/files.h"

namespace nearlite {
namespace {

using Json = nlohmann::ordered_json;
using Event = Json::parse_event_t;

constexpr std::uint64_t kMaxBytes = std::uint64_t{2} << 30;
constexpr int kMaxDepth = 32;
constexpr std::size_t kMaxDim = 65'536;
constexpr int kTopKey = 1;    // depth of "metadata"
constexpr int kIdKey = 2;     // of a record id in it
constexpr int kFieldKey = 3;  // of an entry's field

/// Python's json module writes NaN, Infinity and -Infinity, which are no JSON. Replaces them by
/// strings of the same length, so that just the vector that holds one is unusable.
void replace_bare_words(std::string& text) {
  bool in_string = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (in_string) {
      if (c == '\\') ++at;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') {
      in_string = true;
      continue;
    }
    if (c != 'N' && c != 'I') continue;
    for (const std::string_view word : {"NaN", "Infinity"}) {
      if (text.compare(at, word.size(), word) != 0) continue;
      const std::size_t begin = at > 0 && text[at - 1] == '-' ? at - 1 : at;
      const std::size_t end = at + word.size();
      text.replace(begin, end - begin, "\"\"" + std::string(end - begin - 2, ' '));
      at = end - 1;
      break;
    }
  }
}

std::string text_in(const Json& json) {
  if (json.is_string()) return json.get<std::string>();
  return json.is_number() ? json.dump() : std::string();
}

std::string text_in(const Json& entry, const char* name) {
  const auto found = entry.find(name);
  return found == entry.end() ? std::string() : text_in(*found);
}

std::optional<std::int64_t> whole_number(const Json& json) {
  if (json.is_number_unsigned()) {
    const auto value = json.get<std::uint64_t>();
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return {};
    return static_cast<std::int64_t>(value);
  }
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (!json.is_string()) return {};
  const auto& text = json.get_ref<const std::string&>();
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

/// Empty unless it is a list of numbers that are finite as floats.
std::vector<float> vector_in(const Json& list) {
  std::vector<float> vector;
  if (list.size() > kMaxDim) return vector;
  vector.reserve(list.size());
  for (const Json& element : list) {
    const float value = element.is_number() ? element.get<float>() : std::nanf("");
    if (!std::isfinite(value)) return {};
    vector.push_back(value);
  }
  return vector;
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Takes a file apart while it is parsed: an entry is dropped from the tree as soon as it is read.
class Reader {
 public:
  explicit Reader(OriginalFile& file) : file_(file) {}

  bool take(int depth, Event event, Json& parsed) {
    if (depth > kMaxDepth) return false;
    if (event == Event::key) {
      if (depth <= kFieldKey) keys_[static_cast<std::size_t>(depth)] = parsed.get<std::string>();
      return true;
    }
    if (depth == kTopKey) return take_top(event, parsed);
    if (depth < kIdKey || keys_[kTopKey] != "metadata") return true;
    if (depth == kFieldKey && keys_[kFieldKey] == "vector" && event == Event::array_end) {
      vector_ = vector_in(parsed);
      return false;
    }
    if (depth != kIdKey) return true;
    if (event == Event::object_start) vector_.clear();
    if (event == Event::object_end) take_entry(parsed);
    return event == Event::object_start;
  }

  /// Ids that id_map names get their slots, and entries if they have none.
  void join_ids() {
    for (const auto& [id, slot] : slots_) file_.entries[id].slot = slot;
  }

 private:
  bool take_top(Event event, const Json& parsed) {
    const std::string& key = keys_[kTopKey];
    if (event == Event::value) {
      if (key == "vector_dim") {
        const auto dim = whole_number(parsed);
        if (dim && *dim > 0 && *dim <= std::int64_t{kMaxDim})
          file_.dim = static_cast<std::size_t>(*dim);
      }
      if (key == "format_version" || key == "index_sha256") file_.ours = true;
      return false;
    }
    if (event == Event::object_end && key == "metadata") file_.recognized = true;
    if (key == "id_map" && (event == Event::array_end || event == Event::object_end))
      take_id_map(parsed);
    return event == Event::array_start || event == Event::object_start;
  }

  void take_id_map(const Json& ids) {
    file_.recognized = true;
    std::int64_t position = 0;
    for (const auto& [name, value] : ids.items()) {
      if (ids.is_array()) {
        if (const std::string id = text_in(value); !id.empty()) slots_[id] = position;
        ++position;
      } else if (value.is_string()) {  // slot to id
        if (const auto slot = whole_number(Json(name)); slot && *slot >= 0)
          slots_[value.get<std::string>()] = *slot;
      } else if (const auto slot = whole_number(value); slot && *slot >= 0) {  // id to slot
        slots_[name] = *slot;
      }
    }
  }

  void take_entry(Json& parsed) {
    file_.recognized = true;
    OriginalEntry entry;
    entry.kind = text_in(parsed, "kind");
    entry.source_id = text_in(parsed, "source_id");
    entry.created_at = text_in(parsed, "created_at");
    entry.last_updated = text_in(parsed, "last_updated");
    if (const auto found = parsed.find("embedding_version"); found != parsed.end())
      entry.embedding_version = whole_number(*found);
    if (const auto found = parsed.find("record"); found != parsed.end()) {
      if (!found->is_null()) entry.record = dump(*found);
      parsed.erase(found);
    }
    parsed.erase("vector");  // one that was no list
    entry.fields = dump(parsed);
    entry.vector = std::move(vector_);
    vector_.clear();
    file_.entries[keys_[kIdKey]] = std::move(entry);  // the last of several wins, as in Python
  }

  OriginalFile& file_;
  std::array<std::string, kFieldKey + 1> keys_;  // where the parser is, by depth
  std::vector<float> vector_;                    // of the entry that is being read
  std::map<std::string, std::int64_t> slots_;
};

}  // namespace

OriginalFile read_original(const std::filesystem::path& file) {
  std::string text = read_file(file, kMaxBytes);
  replace_bare_words(text);
  OriginalFile original;
  Reader reader(original);
  try {
    const Json rest = Json::parse(text, [&](int depth, Event event, Json& parsed) {
      return reader.take(depth, event, parsed);
    });
    if (!rest.is_object()) original.recognized = false;
  } catch (const Json::parse_error& error) {
    original.damage = "it breaks off or is no JSON at byte " + std::to_string(error.byte) + " of " +
                      std::to_string(text.size());
  } catch (const Json::exception&) {  // a number that no double can hold
    original.damage = "it holds a number that cannot be read";
  }
  reader.join_ids();
  return original;
}

}  // namespace nearlite
