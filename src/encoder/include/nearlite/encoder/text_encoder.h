#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nearlite/model/precision.h"
#include "nearlite/text/passages.h"
#include "nearlite/text/tokenizer.h"

namespace nearlite {

/// Which of the model's prompts goes before a text: its default one, "query", or "document" /
/// "passage" / "corpus". Without that prompt the default one is used, and without a default (as in
/// most models) the text stays as it is.
enum class TextRole { kPlain, kQuery, kDocument };

/// What a model is. Everything here is read from the small files of its folder, not from its
/// weights.
struct ModelInfo {
  std::string name;              // as asked for, e.g. "sentence-transformers/all-MiniLM-L6-v2"
  std::filesystem::path folder;  // where its files are
  /// Equal for two models if and only if they give the same vectors: hash over the weights,
  /// tokenizer and configuration files, maximum length, prompts, dimensions and precision class
  /// ("fp32", "bf16" and "int16" are one class, "int8" is another). 32 hex digits.
  std::string identity;
  Precision precision = Precision::kFp32;  // of the products with weights; never kAuto
  std::size_t dim = 0;                     // floats per vector
  std::size_t max_tokens = 0;              // per text, special tokens included
  std::string architecture;                // "bert"
  std::vector<std::string>
      modules;  // executed in this order, e.g. Transformer, Pooling(mean), Normalize
  std::map<std::string, std::string> prompts;
  std::string default_prompt_name;
  bool normalized = true;              // vectors have length 1
  std::vector<std::string> languages;  // as the model's card (README.md) names them, if it does
  std::vector<std::string>
      notes;  // what a user should know, e.g. that a file was missing and what was done
};

/// Vectors of a batch of texts, in the order given.
struct EncodedBatch {
  std::vector<float> vectors;  // [num_texts, dim] row-major
  std::size_t dim = 0;
  std::size_t num_tokens = 0;           // that the model read, special tokens included
  std::size_t num_truncated = 0;        // texts that were longer than the model reads
  std::vector<std::uint32_t> tokens{};  // of each text; empty: only their sum is known
  std::span<const float> vector(std::size_t text_index) const {
    return std::span(vectors).subspan(text_index * dim, dim);
  }
};

/// Text in, vectors out. Every method may be called from several threads. A vector depends on its
/// own text only: not on its batch mates, their order or the number of threads, bit for bit.
class TextEncoder {
 public:
  virtual ~TextEncoder() = default;

  /// Throws NotFound if the model cannot be had (the message lists where it was looked for),
  /// CorruptData if it is damaged.
  virtual const ModelInfo& info() const = 0;

  /// Texts must be valid UTF-8; longer ones than the model reads are cut and counted.
  /// Throws InvalidArgument for invalid UTF-8, else as info().
  virtual EncodedBatch encode(std::span<const std::string_view> texts, TextRole role) const = 0;
  /// The same with a named prompt of info().prompts. Throws NotFound for an unknown name.
  virtual EncodedBatch encode_with_prompt(std::span<const std::string_view> texts,
                                          const std::string& prompt_name) const = 0;

  /// Reads now what the first encode() would read. Throws as info().
  virtual void prepare() const {}

  virtual TokenizedText tokenize(std::string_view text) const = 0;
  /// The token of what the model's vocabulary does not have, if there is one.
  virtual std::optional<std::int32_t> unknown_token() const { return std::nullopt; }
  /// What the tokenizer is made of.
  virtual TokenizerParts tokenizer_parts() const { return {}; }

  /// The parts of a document that the model reads whole, its prompt counted in (split_passages).
  virtual std::vector<Passage> passages(std::string_view text) const = 0;
};

struct EncoderOptions {
  std::size_t threads = 0;  // workers; 0: one per available processor; 1: in the calling thread
  Precision precision = Precision::kAuto;
  /// Where digests of weight files are remembered (see ModelInfo::identity); blank: digests.json
  /// beside the user's own model cache.
  std::filesystem::path digest_cache = {};
};

/// Opens a sentence-transformers folder now. Throws as TextEncoder::info().
std::shared_ptr<const TextEncoder> open_encoder(const std::filesystem::path& folder,
                                                const EncoderOptions& options = {});

/// Where models are looked for, in this order.
struct ModelPlaces {
  std::vector<std::filesystem::path>
      hub_caches;  // Hugging Face layout: models--org--name/snapshots/...
  std::vector<std::filesystem::path> own_caches;  // org/name/ folders
  /// The user's standard folders, from the passwd entry; the environment is not read.
  static ModelPlaces standard();
  /// HF_HUB_CACHE, HF_HOME, HUGGINGFACE_HUB_CACHE, SENTENCE_TRANSFORMERS_HOME, XDG_CACHE_HOME,
  /// HOME.
  static ModelPlaces from_environment();
  /// The folder of digests.json and of models that are fetched.
  const std::filesystem::path& own_cache() const { return own_caches.front(); }
};

/// The seed's rule: blank gives the default model, a name without '/' gets the prefix
/// "sentence-transformers/"; a path that is an existing folder stays as it is.
std::string full_model_name(const std::string& name);

/// The folder of a model (whatever the precision its name ends in): an existing folder, or a hub id
/// found in `places`; in a hub cache refs/main decides and a dangling link counts as absent. Throws
/// NotFound that lists every place looked at and names the command that gets it.
std::filesystem::path find_model(const std::string& name, const ModelPlaces& places);

/// An encoder that looks for the model, reads its small files at the first info(), and its weights
/// at the first text. A failure is thrown by each call until it succeeds. Never downloads.
std::shared_ptr<const TextEncoder> lazy_encoder(std::string name,
                                                ModelPlaces places = ModelPlaces::standard(),
                                                const EncoderOptions& options = {});

}  // namespace nearlite
