#include "embedder.h"

#include <algorithm>
#include <cctype>
#include <future>
#include <unordered_map>
#include <utility>

#include "nearlite/base/checksum.h"
#include "nearlite/base/clock.h"
#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "nearlite/governance/rule_gate.h"

namespace nearlite {
namespace {

std::string_view part_of(const std::string& text, const Passage& passage) {
  return std::string_view(text).substr(passage.begin, passage.end - passage.begin);
}

/// Whether governance left nothing that could be embedded.
bool is_all_redacted(std::string_view text) {
  while (!text.empty()) {
    if (text.starts_with(kRedacted)) {
      text.remove_prefix(kRedacted.size());
    } else if (std::isalnum(static_cast<unsigned char>(text.front())) != 0 ||
               static_cast<unsigned char>(text.front()) >= 0x80) {
      return false;
    } else {
      text.remove_prefix(1);
    }
  }
  return true;
}

/// An encoder that knows the sum only: even shares of it, which add up.
std::size_t tokens_of(const EncodedBatch& batch, std::size_t text, std::size_t num_texts) {
  if (batch.tokens.size() == num_texts) return batch.tokens[text];
  return batch.num_tokens * (text + 1) / num_texts - batch.num_tokens * text / num_texts;
}

}  // namespace

std::string shown_text(const Gate& gate, const std::string& text) {
  GateDecision decision = gate.check(text);
  if (decision.action > GateAction::kRedact) return {};
  if (decision.text.empty()) return text;
  return std::move(decision.text);
}

void Embedder::govern(PendingRecord& record, const Gate& gate) {
  switch (record.content.kind) {
    case Content::Kind::kEmpty:
      record.state = RecordState::kEmpty;
      break;
    case Content::Kind::kSkipped:
    case Content::Kind::kFailed:
      record.state = RecordState::kSkipped;
      break;
    case Content::Kind::kText:
    case Content::Kind::kVector:
      record.state = RecordState::kEmbedded;
      break;
  }
  record.reason = record.content.reason;
  if (record.content.kind != Content::Kind::kText) return;
  GateDecision decision = gate.check(record.content.text);
  record.decision = gate_action_name(decision.action);
  record.reason = join_names(decision.reasons);
  record.governed_text = std::move(decision.text);
  const bool quarantined = decision.action == GateAction::kQuarantine && !record.released;
  if (quarantined || decision.action == GateAction::kBlock) {
    record.state = RecordState::kBlocked;
    record.governed_text.clear();
  } else if (!record.governed_text.empty() && is_all_redacted(record.governed_text)) {
    record.state = RecordState::kBlocked;
    record.reason = "nothing is left of the text: " + record.reason;
    record.governed_text.clear();
  }
}

void Embedder::embed(std::span<PendingRecord> records) {
  std::vector<PendingRecord*> texts;
  std::unordered_map<std::uint64_t, PendingRecord*> first_of;          // by the hash of the text
  std::vector<std::pair<PendingRecord*, PendingRecord*>> repetitions;  // and the first of each
  for (PendingRecord& record : records) {
    govern(record);
    if (record.state != RecordState::kEmbedded) continue;
    record.kept = record.only_rules && record.governed_text == record.stored_governed_text;
    if (record.kept) continue;
    if (record.same_text && record.same_text->governed_text == record.governed_text) {
      for (const auto& passage : record.same_text->passages) {
        record.passages.push_back({passage.text_begin, passage.text_end});
      }
      record.vectors = std::move(record.same_text->vectors);
      continue;
    }
    if (record.content.kind == Content::Kind::kVector) {
      record.passages = {{0, 0}};
      record.vectors = record.content.vector;
    } else {
      const auto [first, is_new] = first_of.try_emplace(record.content.hash, &record);
      if (!is_new && first->second->content.text == record.content.text &&
          first->second->governed_text == record.governed_text) {
        repetitions.emplace_back(&record, first->second);
        continue;
      }
      record.passages = encoder_.passages(embedded_text(record));
      texts.push_back(&record);
    }
  }
  try {
    encode_all(texts);
  } catch (const InvalidArgument&) {
    // One of the texts is refused: find out which, so that it does not stop the others.
    for (PendingRecord*& record : texts) {
      try {
        encode_all({&record, 1});
      } catch (const InvalidArgument& error) {
        record->state = RecordState::kSkipped;
        record->reason = error.what();
        record->passages.clear();
      }
    }
  }
  for (const auto& [record, first] : repetitions) {
    record->state = first->state;
    record->reason = first->reason;
    record->passages = first->passages;
    record->vectors = first->vectors;
  }
}

void Embedder::encode_all(std::span<PendingRecord*> records) {
  std::vector<std::string_view> texts;
  for (const PendingRecord* record : records) {
    for (const Passage& passage : record->passages)
      texts.push_back(part_of(embedded_text(*record), passage));
  }
  if (texts.empty()) return;
  const Stopwatch encoding;
  const EncodedBatch batch = encode(texts);
  const double took_ms = encoding.elapsed_ms();
  encode_ms_ += took_ms;
  auto next = batch.vectors.begin();
  std::size_t text = 0;
  for (PendingRecord* record : records) {
    const auto count = static_cast<std::ptrdiff_t>(record->passages.size() * batch.dim);
    record->vectors.assign(next, next + count);
    next += count;
    for (std::size_t i = 0; i < record->passages.size(); ++i, ++text)
      record->tokens += tokens_of(batch, text, texts.size());
    record->encode_ms = took_ms * static_cast<double>(record->tokens) /
                        static_cast<double>(std::max<std::size_t>(batch.num_tokens, 1));
  }
  num_tokens_ += batch.num_tokens;
  num_truncated_ += batch.num_truncated;
}

EncodedBatch Embedder::encode(std::span<const std::string_view> texts) const {
  const std::size_t parts = std::min(std::max<std::size_t>(threads_, 1), texts.size());
  if (parts == 1) return encoder_.encode(texts, TextRole::kDocument);
  std::vector<std::future<EncodedBatch>> running;
  for (std::size_t i = 0; i < parts; ++i) {
    const std::size_t begin = texts.size() * i / parts;
    const std::size_t end = texts.size() * (i + 1) / parts;
    running.push_back(
        std::async(std::launch::async, [this, part = texts.subspan(begin, end - begin)] {
          return encoder_.encode(part, TextRole::kDocument);
        }));
  }
  EncodedBatch whole;
  for (auto& part : running) {
    const EncodedBatch batch = part.get();
    whole.dim = batch.dim;
    whole.num_tokens += batch.num_tokens;
    whole.num_truncated += batch.num_truncated;
    whole.tokens.insert(whole.tokens.end(), batch.tokens.begin(), batch.tokens.end());
    whole.vectors.insert(whole.vectors.end(), batch.vectors.begin(), batch.vectors.end());
  }
  return whole;
}

TextCost Embedder::cost_of(PendingRecord& record) const {
  if (record.state != RecordState::kEmbedded) return {};
  record.passages = {{0, 0}};
  if (record.content.kind == Content::Kind::kVector) return {1, 0, 1, 0};
  const std::string& text = embedded_text(record);
  record.passages = {{0, text.size()}};
  TokenizedText whole = encoder_.tokenize(text);
  TextCost cost{1, 0, 1, whole.ids.size(), text.size()};
  // A prompt takes some of the room, so that texts are cut which would fit alone.
  const bool fits = !whole.truncated && whole.ids.size() <= encoder_.info().max_tokens;
  if (fits && encoder_.info().prompts.empty()) return cost;
  record.passages = encoder_.passages(text);
  cost.passages = record.passages.size();
  cost.longer = cost.passages > 1 ? 1 : 0;
  cost.tokens = 0;
  cost.bytes = 0;
  for (const Passage& passage : record.passages) {
    const std::string_view part = part_of(text, passage);
    cost.tokens += encoder_.tokenize(part).ids.size();
    cost.bytes += part.size();
  }
  return cost;
}

RecordWrite record_write(const PendingRecord& record, const std::string& store, std::int64_t model,
                         std::size_t dim, const std::string& rules_version) {
  RecordWrite write;
  write.key = {store, record.key.table, record.key.json};
  write.model = model;
  write.state = record.state;
  write.reason = record.reason;
  write.text_hash = record.content.hash;
  write.kind = record.kind;
  write.source_id = record.source_id;
  write.last_updated = record.last_updated;
  write.written_at = record.written_at;
  write.decision = record.decision;
  write.rules_version = rules_version;
  write.governed_text = record.governed_text;
  if (record.state != RecordState::kEmbedded) return write;
  const std::string& text = embedded_text(record);
  for (std::size_t i = 0; i < record.passages.size(); ++i) {
    const Passage& passage = record.passages[i];
    const std::uint64_t hash = record.content.kind == Content::Kind::kVector
                                   ? record.content.hash
                                   : xxh3_64(part_of(text, passage));
    write.passages.push_back({passage.begin, passage.end, hash,
                              std::span<const float>(record.vectors).subspan(i * dim, dim),
                              part_of(text, passage)});
  }
  return write;
}

}  // namespace nearlite
