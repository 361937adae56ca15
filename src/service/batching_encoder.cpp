#include "nearlite/service/batching_encoder.h"

#include "nearlite/base/cpu.h"

namespace nearlite {

/// One call, on its caller's stack.
struct BatchingEncoder::Call {
  std::span<const std::string_view> texts;
  TextRole role = TextRole::kPlain;
  EncodedBatch result{};
};

BatchingEncoder::BatchingEncoder(std::shared_ptr<const TextEncoder> inner, std::size_t most_texts,
                                 std::size_t at_once)
    : inner_(std::move(inner)),
      most_texts_(most_texts),
      calls_(std::make_unique<JoinedCalls<Call>>(at_once == 0 ? half_the_cpus() : at_once)) {}

BatchingEncoder::~BatchingEncoder() = default;

EncodedBatch BatchingEncoder::encode(std::span<const std::string_view> texts, TextRole role) const {
  if (texts.size() >= most_texts_) return inner_->encode(texts, role);  // full already
  Call mine{.texts = texts, .role = role};
  const auto joins = [&](const JoinedCalls<Call>::Batch& batch, const Call& call) {
    std::size_t joined = call.texts.size();
    for (const Call& other : batch) joined += other.texts.size();
    return call.role == batch.front().role && joined <= most_texts_;
  };
  calls_->run(
      mine, joins, [&](const JoinedCalls<Call>::Batch& batch) { encode_together(batch); },
      [&](Call& call) { call.result = inner_->encode(call.texts, call.role); });
  return std::move(mine.result);
}

std::size_t BatchingEncoder::num_waiting() const { return calls_->num_waiting(); }

/// Counts the tokens of one text of a call. Where the model has told them only those that fill it
/// are looked at again: they may have been cut.
void BatchingEncoder::add_tokens(Call& call, std::size_t text_index, const EncodedBatch& all,
                                 std::size_t batch_index) const {
  const bool told = batch_index < all.tokens.size();
  if (told) call.result.num_tokens += all.tokens[batch_index];
  if (told && (all.num_truncated == 0 || all.tokens[batch_index] < info().max_tokens)) return;
  const TokenizedText tokens = inner_->tokenize(call.texts[text_index]);
  if (!told) call.result.num_tokens += tokens.ids.size();
  call.result.num_truncated += tokens.truncated ? 1 : 0;
}

void BatchingEncoder::encode_together(const JoinedCalls<Call>::Batch& batch) const {
  std::vector<std::string_view> texts;
  for (const Call& call : batch) texts.insert(texts.end(), call.texts.begin(), call.texts.end());
  const EncodedBatch all = inner_->encode(texts, batch.front().role);
  std::size_t begin = 0;
  for (Call& call : batch) {
    const std::size_t count = call.texts.size();
    const auto first = all.vectors.begin() + static_cast<std::ptrdiff_t>(begin * all.dim);
    call.result.vectors.assign(first, first + static_cast<std::ptrdiff_t>(count * all.dim));
    call.result.dim = all.dim;
    for (std::size_t i = 0; i < count; ++i) add_tokens(call, i, all, begin + i);
    begin += count;
  }
}

}  // namespace nearlite
