#include "nearlite/encoder/text_encoder.h"

#include <atomic>
#include <mutex>

#include "nearlite/encoder/model_choice.h"
#include "sentence_encoder.h"

namespace nearlite {
namespace {

std::filesystem::path digest_cache_of(const EncoderOptions& options, const ModelPlaces& places) {
  return options.digest_cache.empty() ? places.own_cache() / "digests.json" : options.digest_cache;
}

/// Finds the model at the first call that needs it.
class LazyEncoder final : public TextEncoder {
 public:
  LazyEncoder(std::string name, ModelPlaces places, const EncoderOptions& options)
      : name_(std::move(name)), places_(std::move(places)), options_(options) {}

  const ModelInfo& info() const override { return encoder().info(); }
  void prepare() const override { encoder().prepare(); }
  EncodedBatch encode(std::span<const std::string_view> texts, TextRole role) const override {
    return encoder().encode(texts, role);
  }
  EncodedBatch encode_with_prompt(std::span<const std::string_view> texts,
                                  const std::string& prompt_name) const override {
    return encoder().encode_with_prompt(texts, prompt_name);
  }
  TokenizedText tokenize(std::string_view text) const override { return encoder().tokenize(text); }
  std::optional<std::int32_t> unknown_token() const override { return encoder().unknown_token(); }
  TokenizerParts tokenizer_parts() const override { return encoder().tokenizer_parts(); }
  std::vector<Passage> passages(std::string_view text) const override {
    return encoder().passages(text);
  }

 private:
  const SentenceEncoder& encoder() const {
    if (const SentenceEncoder* ready = ready_.load()) return *ready;
    const std::lock_guard lock(mutex_);
    if (!encoder_) {
      const std::string full = full_model_name(name_);
      EncoderOptions options = options_;
      const Precision named = model_choice_of(full).precision;
      if (named != Precision::kAuto) options.precision = named;
      encoder_ = std::make_unique<const SentenceEncoder>(
          read_model_folder(find_model(full, places_), full, digest_cache_of(options, places_),
                            options.precision),
          options);
      ready_ = encoder_.get();
    }
    return *encoder_;
  }

  std::string name_;
  ModelPlaces places_;
  EncoderOptions options_;
  mutable std::mutex mutex_;
  mutable std::unique_ptr<const SentenceEncoder> encoder_;
  mutable std::atomic<const SentenceEncoder*> ready_{nullptr};
};

}  // namespace

std::shared_ptr<const TextEncoder> open_encoder(const std::filesystem::path& folder,
                                                const EncoderOptions& options) {
  auto encoder = std::make_shared<const SentenceEncoder>(
      read_model_folder(folder, folder.string(), digest_cache_of(options, ModelPlaces::standard()),
                        options.precision),
      options);
  encoder->load();
  return encoder;
}

std::shared_ptr<const TextEncoder> lazy_encoder(std::string name, ModelPlaces places,
                                                const EncoderOptions& options) {
  return std::make_shared<const LazyEncoder>(std::move(name), std::move(places), options);
}

}  // namespace nearlite
