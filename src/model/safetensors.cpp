#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>

#include "nearlite/base/error.h"
#include "nearlite/base/utf8.h"
#include "nearlite/model/strict_json.h"
#include "nearlite/model/weights.h"

namespace nearlite {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxHeaderBytes = std::uint64_t{16} << 20;
constexpr std::size_t kMaxRank = 8;

struct ElementType {
  const char* name;
  std::size_t bytes;
  std::optional<TensorType> readable;
};

const ElementType* find_type(const std::string& name) {
  static const ElementType types[] = {{"F32", 4, TensorType::kF32},
                                      {"F16", 2, TensorType::kF16},
                                      {"BF16", 2, TensorType::kBf16},
                                      {"F64", 8, {}},
                                      {"I64", 8, {}},
                                      {"U64", 8, {}},
                                      {"I32", 4, {}},
                                      {"U32", 4, {}},
                                      {"I16", 2, {}},
                                      {"U16", 2, {}},
                                      {"I8", 1, {}},
                                      {"U8", 1, {}},
                                      {"BOOL", 1, {}},
                                      {"F8_E4M3", 1, {}},
                                      {"F8_E5M2", 1, {}}};
  for (const ElementType& type : types) {
    if (name == type.name) return &type;
  }
  return nullptr;
}

/// One entry of the header, checked by itself.
struct Entry {
  std::string name;
  const ElementType* type = nullptr;
  std::vector<std::size_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// Names come from the file: show no more than a line of them.
std::string shown(const std::string& name) {
  return "'" + std::string(utf8_prefix(name, 80)) + "'";
}

std::uint64_t unsigned_number(const json& value, const std::string& what) {
  if (!value.is_number_unsigned()) {
    throw CorruptData(what + " is " + value.dump().substr(0, 40) + ", not a whole number from 0");
  }
  return value.get<std::uint64_t>();
}

Entry read_entry(const std::string& name, const json& value, const std::string& where) {
  const std::string what = where + ": tensor " + shown(name);
  if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string() ||
      !value.contains("shape") || !value["shape"].is_array() || !value.contains("data_offsets") ||
      !value["data_offsets"].is_array() || value["data_offsets"].size() != 2) {
    throw CorruptData(what + " lacks dtype, shape or data_offsets");
  }
  Entry entry;
  entry.name = name;
  entry.type = find_type(value["dtype"].get<std::string>());
  if (entry.type == nullptr) {
    throw CorruptData(what + " has the unknown type " + value["dtype"].dump().substr(0, 40));
  }
  if (value["shape"].size() > kMaxRank) {
    throw CorruptData(what + " has " + std::to_string(value["shape"].size()) +
                      " dimensions, at most " + std::to_string(kMaxRank) + " are read");
  }
  std::uint64_t bytes = entry.type->bytes;
  for (const json& dimension : value["shape"]) {
    const std::uint64_t count = unsigned_number(dimension, what + ": a dimension");
    if (__builtin_mul_overflow(bytes, count, &bytes)) {
      throw CorruptData(what + " has the shape " + value["shape"].dump() + ", which overflows");
    }
    entry.shape.push_back(static_cast<std::size_t>(count));
  }
  entry.begin = unsigned_number(value["data_offsets"][0], what + ": its begin");
  entry.end = unsigned_number(value["data_offsets"][1], what + ": its end");
  if (entry.end < entry.begin || entry.end - entry.begin != bytes) {
    throw CorruptData(what + " lies at " + value["data_offsets"].dump() + " but its shape " +
                      value["shape"].dump() + " of " + entry.type->name + " needs " +
                      std::to_string(bytes) + " bytes");
  }
  return entry;
}

/// The tensors must cover the data exactly: bytes that belong to none, or to two, mean a cut or
/// forged file.
void check_layout(std::vector<Entry>& entries, std::uint64_t data_bytes, const std::string& where) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  std::uint64_t covered = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != covered) {
      throw CorruptData(where + ": tensor " + shown(entry.name) + " begins at byte " +
                        std::to_string(entry.begin) + ", the one before ends at " +
                        std::to_string(covered) +
                        (entry.begin < covered ? " (overlap)" : " (gap)"));
    }
    covered = entry.end;
  }
  if (covered != data_bytes) {
    throw CorruptData(where + ": the tensors need " + std::to_string(covered) +
                      " bytes, the file has " + std::to_string(data_bytes) + " after its header");
  }
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& file) : path_(file), file_(file) {
  const std::string where = file.string();
  const std::span<const std::byte> bytes = file_.bytes();
  std::uint64_t header_bytes = 0;
  if (bytes.size() < sizeof header_bytes) {
    throw CorruptData(where + " has " + std::to_string(bytes.size()) +
                      " bytes: too short for a safetensors file");
  }
  std::memcpy(&header_bytes, bytes.data(),
              sizeof header_bytes);  // little-endian, as this processor
  const std::uint64_t behind = bytes.size() - sizeof header_bytes;
  if (header_bytes > behind || header_bytes > kMaxHeaderBytes) {
    throw CorruptData(where + ": the header is said to have " + std::to_string(header_bytes) +
                      " bytes; the file has " + std::to_string(bytes.size()) +
                      " and the limit is " + std::to_string(kMaxHeaderBytes));
  }
  const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + sizeof header_bytes,
                                static_cast<std::size_t>(header_bytes));
  if (const auto bad = find_invalid_utf8(header)) {
    throw CorruptData(where + ": the header is not UTF-8 (byte " + std::to_string(*bad) + ")");
  }
  const json parsed = parse_strict_json(header, "the header of " + where);
  if (!parsed.is_object()) throw CorruptData("the header of " + where + " is not a JSON object");

  std::vector<Entry> entries;
  for (const auto& [name, value] : parsed.items()) {
    if (name != "__metadata__") entries.push_back(read_entry(name, value, where));
  }
  check_layout(entries, behind - header_bytes, where);
  const auto data = bytes.subspan(sizeof header_bytes + static_cast<std::size_t>(header_bytes));
  for (Entry& entry : entries) {
    names_.insert(entry.name);
    if (!entry.type->readable) continue;
    tensors_.emplace(
        entry.name,
        TensorView{.type = *entry.type->readable,
                   .shape = std::move(entry.shape),
                   .bytes = data.subspan(static_cast<std::size_t>(entry.begin),
                                         static_cast<std::size_t>(entry.end - entry.begin))});
  }
}

void SafetensorsFile::release_pages() const noexcept { file_.advise(MADV_DONTNEED); }

void SafetensorsFile::copy(const TensorView& tensor, std::size_t offset,
                           std::span<std::byte> to) const {
  file_.copy(static_cast<std::size_t>(tensor.bytes.data() - file_.bytes().data()) + offset, to);
}

}  // namespace nearlite
