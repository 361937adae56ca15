#include "hit_fields.h"

#include <algorithm>

#include "nearlite/base/names.h"

namespace nearlite::vector_service {
namespace {

const Value* field_of(const RetrievalHit& hit, std::string_view name) {
  const auto found = std::ranges::find(hit.fields, name, &std::pair<std::string, Value>::first);
  return found == hit.fields.end() ? nullptr : &found->second;
}

std::string trimmed(std::string_view text) {
  constexpr std::string_view kAround = " \t\"'[]";
  const std::size_t begin = text.find_first_not_of(kAround);
  if (begin == std::string_view::npos) return {};
  return to_lower_ascii(text.substr(begin, text.find_last_not_of(kAround) - begin + 1));
}

}  // namespace

std::string field_text(const RetrievalHit& hit, std::string_view name) {
  const Value* value = field_of(hit, name);
  return value == nullptr ? std::string() : text_of(*value);
}

double field_number(const RetrievalHit& hit, std::string_view name, double otherwise) {
  if (const Value* value = field_of(hit, name)) {
    if (const auto* whole = std::get_if<std::int64_t>(value)) return static_cast<double>(*whole);
    if (const auto* real = std::get_if<double>(value)) return *real;
  }
  const auto signal = hit.signals.find(std::string(name));
  return signal == hit.signals.end() ? otherwise : signal->second;
}

bool has_tag(const RetrievalHit& hit, const std::vector<std::string>& tags) {
  if (tags.empty()) return false;
  for (const char* name : {"tags", "tag"}) {
    const std::string list = field_text(hit, name);
    for (std::size_t at = 0; at < list.size();) {
      const std::size_t end = std::min(list.find(',', at), list.size());
      const std::string one = trimmed(std::string_view(list).substr(at, end - at));
      if (!one.empty() &&
          std::ranges::any_of(tags, [&](const std::string& tag) { return trimmed(tag) == one; }))
        return true;
      at = end + 1;
    }
  }
  return false;
}

}  // namespace nearlite::vector_service
