#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "content.h"
#include "nearlite/embeddable/cost.h"
#include "nearlite/encoder/text_encoder.h"
#include "nearlite/governance/gate.h"
#include "nearlite/store/sidecar.h"

namespace nearlite {

/// A record on its way to the sidecar.
struct PendingRecord {
  RecordKey key;
  std::string kind;
  std::string source_id;
  std::string last_updated;
  Content content;
  // Set by Embedder::embed.
  RecordState state = RecordState::kEmbedded;
  std::string reason;
  std::string decision;
  std::string governed_text;
  std::vector<Passage> passages;
  std::vector<float> vectors;  // [passages.size(), dim]
  std::size_t tokens = 0;      // read by the model for it
  double encode_ms = 0;        // its share of the batch
  // Only the rules changed since it was embedded: if they decide as before, the vector stays.
  bool only_rules = false;
  std::string stored_governed_text;
  bool kept = false;  // set by Embedder::embed
  // Vectors of another record with the same text (its key may have changed): used if governance
  // decides as it did there.
  std::optional<StoredPassages> same_text;
  bool retried = false;        // its text had changed when it was to be written
  bool released = false;       // from quarantine, with this text
  bool from_original = false;  // content.vector is the original's
  std::string written_at;      // when such a vector was made; "": now
  bool written = false;        // by this run
};

/// Text to vectors: governance, passages, encoder. Own vectors pass through.
class Embedder {
 public:
  Embedder(const TextEncoder& encoder, const Gate& gate, std::size_t threads)
      : encoder_(encoder), gate_(gate), rules_version_(gate.rules_version()), threads_(threads) {}

  /// Sets state, passages and vectors of each record. A record that the encoder refuses becomes
  /// skipped.
  void embed(std::span<PendingRecord> records);
  /// The governance of one record: state, reason, decision, governed_text.
  void govern(PendingRecord& record) const { govern(record, gate_); }
  static void govern(PendingRecord& record, const Gate& gate);
  /// What embed() would do with a record that was governed; sets its passages.
  TextCost cost_of(PendingRecord& record) const;
  EncodedBatch encode(std::span<const std::string_view> texts) const;

  const std::string& rules_version() const noexcept { return rules_version_; }
  std::size_t num_tokens() const noexcept { return num_tokens_; }
  std::size_t num_truncated() const noexcept { return num_truncated_; }
  double encode_ms() const noexcept { return encode_ms_; }

 private:
  void encode_all(std::span<PendingRecord*> records);

  const TextEncoder& encoder_;
  const Gate& gate_;
  std::string rules_version_;
  std::size_t threads_;
  std::size_t num_tokens_ = 0;
  std::size_t num_truncated_ = 0;
  double encode_ms_ = 0;
};

/// The row of the sidecar for an embedded, skipped, empty or blocked record. Borrows from `record`.
RecordWrite record_write(const PendingRecord& record, const std::string& store, std::int64_t model,
                         std::size_t dim, const std::string& rules_version);

/// What may be shown of a text that was not embedded as it is: the redacted one; nothing of one
/// that governance keeps out.
std::string shown_text(const Gate& gate, const std::string& text);

/// What was really encoded: the redacted text if governance made one.
inline const std::string& embedded_text(const PendingRecord& record) {
  return record.governed_text.empty() ? record.content.text : record.governed_text;
}

}  // namespace nearlite
