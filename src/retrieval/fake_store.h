#pragma once

// For tests: a store over a few notes in a SQLite file, and an encoder that needs no model.

#include <cmath>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nearlite/base/error.h"
#include "nearlite/base/names.h"
#include "nearlite/databases/store.h"
#include "nearlite_test/temporary_folder.h"

namespace nearlite {

/// Counts words into buckets: texts that share words are near. Counts its calls.
class WordEncoder : public TextEncoder {
 public:
  explicit WordEncoder(std::string name = "word-counter", bool missing = false)
      : missing_(missing) {
    info_.name = std::move(name);
    info_.identity =
        std::string(32 - std::min<std::size_t>(32, info_.name.size()), '0') + info_.name;
    info_.dim = kDim;
    info_.max_tokens = 64;
    info_.architecture = "fake";
  }
  const ModelInfo& info() const override {
    refuse_if_missing();
    return info_;
  }
  EncodedBatch encode(std::span<const std::string_view> texts, TextRole role) const override {
    refuse_if_missing();
    if (role == TextRole::kQuery) ++num_questions;
    EncodedBatch batch;
    batch.dim = kDim;
    for (const std::string_view text : texts) {
      const std::vector<float> vector = vector_of(text);
      batch.vectors.insert(batch.vectors.end(), vector.begin(), vector.end());
      batch.num_tokens += text.size() / 4 + 1;
    }
    return batch;
  }
  EncodedBatch encode_with_prompt(std::span<const std::string_view> texts,
                                  const std::string& /*prompt*/) const override {
    return encode(texts, TextRole::kPlain);
  }
  TokenizedText tokenize(std::string_view text) const override {
    return {std::vector<std::int32_t>(text.size()), false};
  }
  std::vector<Passage> passages(std::string_view text) const override { return {{0, text.size()}}; }

  const std::string& name() const { return info_.name; }

  mutable std::size_t num_questions = 0;

 private:
  static constexpr std::size_t kDim = 509;

  static std::vector<float> vector_of(std::string_view text) {
    std::vector<float> vector(kDim, 0.0F);
    vector[0] = 0.1F;  // never all zeros
    std::string word;
    for (const char c : to_lower_ascii(text) + " ") {
      if (c != ' ' && c != '\n') {
        word += c;
        continue;
      }
      if (!word.empty()) vector[1 + std::hash<std::string>{}(word) % (kDim - 1)] += 1.0F;
      word.clear();
    }
    float squares = 0;
    for (const float value : vector) squares += value * value;
    for (float& value : vector) value /= std::sqrt(squares);
    return vector;
  }

  void refuse_if_missing() const {
    if (missing_) throw NotFound("model " + info_.name + " is not on this machine");
  }

  ModelInfo info_;
  bool missing_;
};

/// Table note(id, body, author) of one file.
class NoteStore : public Store {
 public:
  NoteStore(const std::filesystem::path& folder, const std::string& name,
            std::shared_ptr<const TextEncoder> encoder,
            const std::vector<std::pair<std::string, std::string>>& body_and_author)
      : Store(make(folder / (name + ".db"), body_and_author),
              options_of(folder, name, std::move(encoder)), folder / (name + ".db")),
        name_(name) {}

  std::string name() const override { return name_; }
  std::string class_name() const override { return name_ + "DB"; }
  std::vector<std::string> shown_fields() const override { return {"id", "body"}; }
  std::function<bool(const RecordKey&)> keys_matching(const std::string& where) const override {
    if (where.find("source_menace_id") != std::string::npos)
      throw NotFound("\"note\" has no column source_menace_id");
    if (where != "id > 1") throw InvalidArgument("no such condition: " + where);
    return [](const RecordKey& key) { return key != RecordKey(1); };
  }
  Record read_fields(const RecordKey& key, const std::vector<std::string>& columns) const override {
    for (const std::string& column : columns) {
      if (column != "author") throw NotFound("there is no column \"" + column + "\"");
    }
    Statement select = connection().prepare("SELECT author FROM note WHERE id = ?1");
    const std::vector<Value> values = key.values();
    select.bind(1, values.front());
    if (!select.step()) return {};
    Record row({{"author", select.value(0)}});
    return row;
  }
  RecordCursor iter_records() const override {
    return query("SELECT id, body FROM note", {.kind = "note", .table = {}, .source_id = {}});
  }
  std::string text(const Record& record) const override {
    if (record.get("body") == "unreadable") throw std::runtime_error("cannot be read today");
    return record.get("body");
  }

  using Store::connection;

 private:
  static std::shared_ptr<Connection> make(
      const std::filesystem::path& file,
      const std::vector<std::pair<std::string, std::string>>& notes) {
    auto connection = std::make_shared<Connection>(Connection::open(file, true));
    connection->execute(
        "CREATE TABLE IF NOT EXISTS note(id INTEGER PRIMARY KEY, body TEXT, author TEXT)");
    for (const auto& [body, author] : notes) {
      Statement insert = connection->prepare("INSERT INTO note(body, author) VALUES (?1, ?2)");
      insert.run(std::string_view(body), std::string_view(author));
    }
    return connection;
  }

  static EmbeddableOptions options_of(const std::filesystem::path& folder, const std::string& name,
                                      std::shared_ptr<const TextEncoder> encoder) {
    EmbeddableOptions options;
    options.backend = Backend::kFlat;
    options.index_path = folder / (name + ".index");
    options.model_name = static_cast<const WordEncoder&>(*encoder).name();
    options.encoder = std::move(encoder);
    return options;
  }

  std::string name_;
};

}  // namespace nearlite
