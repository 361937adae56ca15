#include "sentence_encoder.h"

#include <unistd.h>

#include <algorithm>
#include <numeric>
#include <variant>

#include "nearlite/base/cpu.h"
#include "nearlite/base/error.h"
#include "nearlite/base/names.h"

namespace nearlite {
namespace {

// Products run at full speed from 16 rows on, but every batch reads all weights once (43 MB for
// MiniLM): 256 tokens gave 6 % more than 128. A longer text is a batch of its own.
constexpr std::size_t kBatchTokens = 256;
// Fewer tokens than this are not worth waking a helper for.
constexpr std::size_t kLeastBatchTokens = 16;
constexpr std::size_t kTextsPerTokenizerItem = 16;

}  // namespace

/// Everything that is read from weight files.
struct SentenceEncoder::Network {
  std::unique_ptr<const Transformer> transformer;
  std::optional<StaticTable> table;  // instead of a transformer
  std::vector<std::variant<DenseModule, LayerNormModule, NormalizeConfig>> after_pooling;

  /// What the modules behind the pooling make of a vector.
  void finish(std::vector<float>& vector) const {
    for (const auto& module : after_pooling) {
      if (const auto* dense = std::get_if<DenseModule>(&module)) {
        vector = dense->apply(vector);
      } else if (const auto* norm = std::get_if<LayerNormModule>(&module)) {
        norm->apply(vector);
      } else {
        normalize_length(vector);
      }
    }
  }
};

/// Workspaces that are free. One is as large as the largest batch it has seen, a few megabytes.
struct SentenceEncoder::Workspaces {
  const pid_t owner = ::getpid();
  std::mutex mutex;
  std::vector<std::unique_ptr<TransformerWorkspace>> free;

  /// In a forked child the mutex may be locked for ever: work there takes a workspace of its own
  /// each time.
  bool usable() const { return owner == ::getpid(); }

  std::unique_ptr<TransformerWorkspace> take() {
    if (usable()) {
      const std::lock_guard lock(mutex);
      if (!free.empty()) {
        auto workspace = std::move(free.back());
        free.pop_back();
        return workspace;
      }
    }
    return std::make_unique<TransformerWorkspace>();
  }
  void give_back(std::unique_ptr<TransformerWorkspace> workspace) {
    if (!usable()) return;
    const std::lock_guard lock(mutex);
    free.push_back(std::move(workspace));
  }
};

/// The texts of one call as tokens, and the order in which they are worked on.
struct SentenceEncoder::Batch {
  std::vector<TokenizedText> texts;
  std::vector<std::size_t> order;   // longest first, so that the last batches are small ones
  std::vector<std::size_t> begins;  // of the micro-batches in `order`, and its end

  void cut(std::size_t num_workers) {
    order.resize(texts.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [this](std::size_t a, std::size_t b) {
      return texts[a].ids.size() > texts[b].ids.size();
    });
    std::size_t total = 0;
    for (const TokenizedText& text : texts) total += text.ids.size();
    const std::size_t budget =
        std::clamp((total + num_workers - 1) / num_workers, kLeastBatchTokens, kBatchTokens);
    std::size_t tokens = 0;
    for (std::size_t i = 0; i < order.size(); ++i) {
      const std::size_t length = texts[order[i]].ids.size();
      if (i == 0 || tokens + length > budget) {
        begins.push_back(i);
        tokens = 0;
      }
      tokens += length;
    }
    begins.push_back(order.size());
  }
};

SentenceEncoder::SentenceEncoder(ModelFolder folder, const EncoderOptions& options)
    : folder_(std::move(folder)),
      workspaces_(std::make_unique<Workspaces>()),
      pool_(options.threads == 0 ? available_cpus() : options.threads) {}

SentenceEncoder::~SentenceEncoder() = default;

const Tokenizer& SentenceEncoder::tokenizer() const {
  if (const Tokenizer* ready = ready_tokenizer_.load()) return *ready;
  const std::lock_guard lock(load_mutex_);
  if (!tokenizer_) {
    auto loaded =
        folder_.tokenizer_is_vocabulary
            ? load_vocab_tokenizer(folder_.tokenizer_file, folder_.tokenizer_lower_case)
            : load_tokenizer(folder_.tokenizer_file, {.lower_case = folder_.tokenizer_lower_case,
                                                      .special_tokens = !folder_.table});
    require_unchanged(folder_);
    const std::size_t rows = folder_.table ? folder_.table->rows : folder_.transformer.vocabulary;
    if (loaded->vocabulary_size() > rows) {
      throw CorruptData(folder_.tokenizer_file.string() + " has " +
                        std::to_string(loaded->vocabulary_size()) + " tokens, the model only " +
                        std::to_string(rows));
    }
    tokenizer_ = std::move(loaded);
    ready_tokenizer_ = tokenizer_.get();
  }
  return *tokenizer_;
}

const SentenceEncoder::Network& SentenceEncoder::network() const {
  if (const Network* ready = ready_network_.load()) return *ready;
  const std::lock_guard lock(load_mutex_);
  if (!network_) {
    auto loaded = std::make_unique<Network>();
    if (folder_.table) {
      loaded->table.emplace(*folder_.table);
    } else {
      loaded->transformer = load_transformer(
          folder_.transformer, std::make_shared<const Weights>(folder_.transformer_folder),
          folder_.info.precision);
    }
    for (const auto& module : folder_.after_pooling) {
      if (const auto* dense = std::get_if<DenseConfig>(&module)) {
        loaded->after_pooling.emplace_back(DenseModule(*dense));
      } else if (const auto* norm = std::get_if<LayerNormConfig>(&module)) {
        loaded->after_pooling.emplace_back(LayerNormModule(*norm));
      } else {
        loaded->after_pooling.emplace_back(NormalizeConfig{});
      }
    }
    require_unchanged(folder_);
    network_ = std::move(loaded);
    ready_network_ = network_.get();
  }
  return *network_;
}

void SentenceEncoder::load() const {
  tokenizer();
  network();
}

const std::string& SentenceEncoder::prompt_of(TextRole role) const {
  static const std::string none;
  const auto& prompts = folder_.info.prompts;
  std::vector<const char*> names;
  if (role == TextRole::kQuery) names = {"query"};
  if (role == TextRole::kDocument) names = {"document", "passage", "corpus"};
  names.push_back(folder_.info.default_prompt_name.c_str());
  for (const char* name : names) {
    if (const auto found = prompts.find(name); found != prompts.end()) return found->second;
  }
  return none;
}

EncodedBatch SentenceEncoder::encode(std::span<const std::string_view> texts, TextRole role) const {
  return encode_behind(prompt_of(role), texts);
}

EncodedBatch SentenceEncoder::encode_with_prompt(std::span<const std::string_view> texts,
                                                 const std::string& prompt_name) const {
  const auto found = folder_.info.prompts.find(prompt_name);
  if (found == folder_.info.prompts.end()) {
    std::vector<std::string> known;
    for (const auto& [name, prompt] : folder_.info.prompts) known.push_back(name);
    throw NotFound("the model " + folder_.info.name + " has no prompt '" + prompt_name +
                   "'; it has " + (known.empty() ? "none" : join_names(known)));
  }
  return encode_behind(found->second, texts);
}

TokenizedText SentenceEncoder::tokenize(std::string_view text) const {
  return tokenizer().tokenize(text, folder_.info.max_tokens);
}

std::vector<Passage> SentenceEncoder::passages(std::string_view text) const {
  const std::size_t max_tokens = folder_.info.max_tokens;
  const std::size_t prompt_tokens = tokenizer().count(prompt_of(TextRole::kDocument), max_tokens);
  if (prompt_tokens + tokenizer().num_special_tokens() >= max_tokens) {
    throw InvalidArgument("the document prompt of " + folder_.info.name + " fills all of its " +
                          std::to_string(max_tokens) + " tokens");
  }
  return split_passages(text, tokenizer(), max_tokens - prompt_tokens);
}

EncodedBatch SentenceEncoder::encode_behind(const std::string& prompt,
                                            std::span<const std::string_view> texts) const {
  EncodedBatch result;
  result.dim = folder_.info.dim;
  if (texts.empty()) return result;
  load();
  Batch batch;
  tokenize_all(prompt, texts, batch);
  std::size_t prompt_tokens = 0;
  if (!folder_.pooling.include_prompt && !prompt.empty()) {
    // All tokens of the prompt as a text of its own but the closing special one, as
    // sentence-transformers counts them.
    prompt_tokens = tokenizer().tokenize(prompt, folder_.info.max_tokens).ids.size() - 1;
  }
  for (const TokenizedText& text : batch.texts) {
    result.num_tokens += text.ids.size();
    result.tokens.push_back(static_cast<std::uint32_t>(text.ids.size()));
    result.num_truncated += text.truncated ? 1 : 0;
  }
  batch.cut(pool_.num_workers());
  result.vectors.resize(texts.size() * result.dim);
  if (folder_.table) {
    run_table(batch, result.vectors);
  } else {
    run_network(batch, prompt_tokens, result.vectors);
  }
  return result;
}

void SentenceEncoder::tokenize_all(const std::string& prompt,
                                   std::span<const std::string_view> texts, Batch& batch) const {
  batch.texts.resize(texts.size());
  const std::size_t items = (texts.size() + kTextsPerTokenizerItem - 1) / kTextsPerTokenizerItem;
  pool_.run(items, [&](const WorkerPool::Next& next) {
    std::string joined;
    for (std::size_t item = next(); item < items; item = next()) {
      const std::size_t end = std::min(texts.size(), (item + 1) * kTextsPerTokenizerItem);
      for (std::size_t t = item * kTextsPerTokenizerItem; t < end; ++t) {
        std::string_view text = texts[t];
        if (!prompt.empty()) {
          joined.assign(prompt).append(text);
          text = joined;
        }
        try {
          batch.texts[t] = tokenizer().tokenize(text, folder_.info.max_tokens);
        } catch (const InvalidArgument& error) {
          if (texts.size() == 1) throw;
          throw InvalidArgument("text " + std::to_string(t) + ": " + error.what(), error.hint());
        }
      }
    }
  });
}

void SentenceEncoder::run_table(const Batch& batch, std::vector<float>& vectors) const {
  const Network& parts = network();
  const auto dropped =
      folder_.table->drops_unknown ? tokenizer().unknown_id() : std::optional<std::int32_t>();
  pool_.run(batch.texts.size(), [&](const WorkerPool::Next& next) {
    std::vector<float> vector;
    for (std::size_t t = next(); t < batch.texts.size(); t = next()) {
      vector.resize(folder_.table->dim);
      parts.table->mean(batch.texts[t].ids, dropped, vector);
      parts.finish(vector);
      std::copy(vector.begin(), vector.end(),
                vectors.begin() + static_cast<std::ptrdiff_t>(t * folder_.info.dim));
    }
  });
}

void SentenceEncoder::run_network(const Batch& batch, std::size_t prompt_tokens,
                                  std::vector<float>& vectors) const {
  const Network& parts = network();
  const std::size_t hidden_dim = folder_.transformer.hidden;
  const std::size_t pooled_dim = hidden_dim * folder_.pooling.modes.size();
  const std::size_t num_batches = batch.begins.size() - 1;
  pool_.run(num_batches, [&](const WorkerPool::Next& next) {
    auto workspace = workspaces_->take();
    std::vector<std::int32_t> ids;
    std::vector<std::uint32_t> boundaries;
    std::vector<float> vector;
    for (std::size_t b = next(); b < num_batches; b = next()) {
      ids.clear();
      boundaries.assign(1, 0);
      for (std::size_t i = batch.begins[b]; i < batch.begins[b + 1]; ++i) {
        const auto& text = batch.texts[batch.order[i]].ids;
        ids.insert(ids.end(), text.begin(), text.end());
        boundaries.push_back(static_cast<std::uint32_t>(ids.size()));
      }
      const auto hidden = parts.transformer->forward({ids, boundaries}, *workspace);
      for (std::size_t i = batch.begins[b]; i < batch.begins[b + 1]; ++i) {
        const std::size_t local = i - batch.begins[b];
        const auto rows = hidden.subspan(boundaries[local] * hidden_dim,
                                         (boundaries[local + 1] - boundaries[local]) * hidden_dim);
        vector.assign(pooled_dim, 0.0F);
        pool(folder_.pooling, rows, hidden_dim, prompt_tokens, vector);
        parts.finish(vector);
        std::copy(vector.begin(), vector.end(),
                  vectors.begin() + static_cast<std::ptrdiff_t>(batch.order[i] * folder_.info.dim));
      }
    }
    workspaces_->give_back(std::move(workspace));
  });
}

}  // namespace nearlite
