#include "content.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>
#include <new>

#include "nearlite/base/checksum.h"
#include "nearlite/base/error.h"
#include "nearlite/base/files.h"
#include "nearlite/base/utf8.h"

namespace nearlite {
namespace {

constexpr std::string_view kOwn = "own-";
constexpr std::uint64_t kVectorSeed =
    1;  // so that no vector's hash equals a text's by construction

bool is_space(char32_t c) {
  return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200B) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000 || c == 0xFEFF;
}

bool is_blank(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    if (!is_space(next_code_point(text, at))) return false;
  }
  return true;
}

Content skipped(std::string reason, std::uint64_t hash) {
  Content content;
  content.kind = Content::Kind::kSkipped;
  content.reason = std::move(reason);
  content.hash = hash;
  return content;
}

Content of_vector(std::vector<float> vector) {
  Content content;
  content.hash = xxh3_64(bytes_of(std::span<const float>(vector)), kVectorSeed);
  if (vector.empty()) return skipped("the vector has no dimensions", content.hash);
  if (!std::ranges::all_of(vector, [](float value) { return std::isfinite(value); })) {
    return skipped("the vector holds a value that is not finite", content.hash);
  }
  if (std::ranges::all_of(vector, [](float value) { return value == 0; })) {
    return skipped("the vector is all zeros", content.hash);
  }
  content.kind = Content::Kind::kVector;
  content.vector = std::move(vector);
  return content;
}

Content of_text(std::string text, const Record& record, const std::uint64_t* embedded) {
  Content content;
  content.hash = xxh3_64(text);
  if (embedded != nullptr && *embedded == content.hash) {  // looked at when it was embedded
    content.kind = Content::Kind::kText;
    content.text = std::move(text);
    return content;
  }
  if (const auto at = find_invalid_utf8(text)) {
    return skipped("the text is not valid UTF-8 at byte " + std::to_string(*at), content.hash);
  }
  if (is_blank(text)) {
    for (const auto& [name, value] : record.fields()) {
      if (std::holds_alternative<Blob>(value))
        return skipped("column " + name + " holds a BLOB, not text", content.hash);
    }
    content.reason = "no text";
    return content;
  }
  content.kind = Content::Kind::kText;
  content.text = std::move(text);
  return content;
}

}  // namespace

Content content_of(const EmbeddableDBMixin& db, const Record& record,
                   const std::uint64_t* embedded) {
  try {
    if (auto vector = db.vector(record)) return of_vector(std::move(*vector));
    return of_text(db.text(record), record, embedded);
  } catch (
      const InvalidArgument& error) {  // the record itself is wrong: it will be so the next time
    return skipped(error.what(), xxh3_64(error.what()));
  } catch (const std::bad_alloc&) {  // no fault of the record's
    throw;
  } catch (const std::exception& error) {
    Content content;
    content.kind = Content::Kind::kFailed;
    content.reason = error.what();
    return content;
  }
}

std::string own_identity(std::size_t dim) { return std::string(kOwn) + std::to_string(dim); }
bool is_own_identity(std::string_view identity) { return identity.starts_with(kOwn); }

std::string last_updated_of(const Record& record) {
  static constexpr std::array kColumns = {"last_updated", "last_modification_date",
                                          "updated_at",   "updated",
                                          "modified_at",  "modified",
                                          "timestamp",    "ts"};
  for (const char* column : kColumns) {
    std::string value = record.get(column);
    if (!value.empty()) return find_invalid_utf8(value) ? std::string() : value;
  }
  return {};
}

std::uint64_t hash_of_key(std::string_view table, std::string_view json) {
  return xxh3_64(json, xxh3_64(table));
}

}  // namespace nearlite
