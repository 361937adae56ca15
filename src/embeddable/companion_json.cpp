#include "companion_json.h"

#include <nlohmann/json.hpp>

#include "nearlite/base/hex.h"

namespace nearlite {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kFormatVersion = 1;
constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

/// Collects pieces, hashes them and writes them in large parts.
class Stream {
 public:
  explicit Stream(AtomicFile& file) : file_(file) {}
  void put(std::string_view text) {
    buffer_ += text;
    if (buffer_.size() >= kBufferBytes) flush();
  }
  std::string finish() {
    flush();
    return sha_.hex();
  }

 private:
  void flush() {
    sha_.update(buffer_);
    file_.write(std::string_view(buffer_));
    buffer_.clear();
  }

  AtomicFile& file_;
  Sha256 sha_;
  std::string buffer_;
};

/// Bytes that are no UTF-8 (in a source_id, say) become replacement characters: the file stays
/// JSON.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string quoted(const std::string& text) { return dump(Json(text)); }

/// Written piece by piece: an object of the JSON library needs memory to be destroyed, which ends
/// the process when there is none.
std::string entry_of(const RecordEntry& entry) {
  const bool embedded = entry.state == RecordState::kEmbedded;
  std::string text =
      "{\"store\":" + quoted(entry.store) + ",\"created_at\":" + quoted(entry.embedded_at) +
      ",\"embedding_version\":" + std::to_string(entry.embedding_version) +
      ",\"kind\":" + quoted(entry.kind) + ",\"source_id\":" + quoted(entry.source_id) +
      // The original's name for "passed governance".
      ",\"redacted\":" + (embedded ? "true" : "false");
  if (embedded) {
    text += ",\"chunk_count\":" + std::to_string(entry.passage_hashes.size());
    text += ",\"chunk_hashes\":[";
    for (const std::uint64_t hash : entry.passage_hashes) {
      if (text.back() != '[') text += ',';
      text += '"' + hex_of(hash) + '"';
    }
    text += ']';
  } else {
    text += ",\"reason\":" + quoted(entry.reason);
  }
  if (!entry.last_updated.empty()) text += ",\"last_updated\":" + quoted(entry.last_updated);
  if (!entry.imported.empty())
    text += ",\"original\":" + dump(Json::parse(entry.imported, nullptr, false));
  return text + '}';
}

}  // namespace

std::string companion_id(const RecordKey& key, const std::string& store_prefix) {
  RecordKey plain = key;
  plain.table.clear();
  std::string id = plain.display();
  if (!id.empty() && plain.json.front() == '"' && Json::accept(id)) id = plain.json;
  if (!key.table.empty()) id = key.table + ":" + id;
  return store_prefix.empty() ? id : store_prefix + ":" + id;
}

std::string write_companion(AtomicFile& file, const CompanionHead& head, Sidecar& sidecar,
                            std::span<const std::int64_t> slots) {
  const bool several = sidecar.stores().size() > 1;
  const auto id_of = [&](const auto& row) {
    RecordKey key;
    key.json = row.key;
    key.table = row.table;
    return companion_id(key, several ? row.store : std::string());
  };
  Stream out(file);
  out.put("{\n  \"format_version\": " + std::to_string(kFormatVersion) + ",\n  \"generation\": " +
          std::to_string(head.generation) + ",\n  \"index_file\": " + quoted(head.index_file) +
          ",\n  \"index_sha256\": " + quoted(head.index_sha256) + ",\n  \"backend\": " +
          quoted(head.backend) + ",\n  \"complete\": " + (head.missing == 0 ? "true" : "false") +
          ",\n  \"missing\": " + std::to_string(head.missing) + ",\n  \"model\": " +
          quoted(head.model) + ",\n  \"vector_dim\": " + std::to_string(head.dim) +
          ",\n  \"last_vectorization\": " + quoted(head.written_at) + ",\n  \"id_map\": [");
  std::size_t next = 0;
  const auto put_id = [&](const std::string& id) {
    out.put((next++ == 0 ? "\n    " : ",\n    ") + id);
  };
  sidecar.for_each_slot("", "", [&](const SlotInfo& row) {
    while (next < slots.size() && slots[next] < row.slot) put_id("null");
    if (next < slots.size() && slots[next] == row.slot) put_id(quoted(id_of(row)));
  });
  while (next < slots.size()) put_id("null");
  out.put("\n  ],\n  \"metadata\": {");
  bool first = true;
  sidecar.for_each_entry([&](const RecordEntry& entry) {
    if (entry.state != RecordState::kEmbedded && entry.state != RecordState::kBlocked) return;
    out.put((first ? "\n    " : ",\n    ") + quoted(id_of(entry)) + ": " + entry_of(entry));
    first = false;
  });
  out.put("\n  }\n}\n");
  return out.finish();
}

}  // namespace nearlite
