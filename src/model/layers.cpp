#include "layers.h"

#include <algorithm>
#include <cmath>

#include "kernels.h"
#include "nearlite/base/error.h"

namespace nearlite {
namespace {

Linear pack(const LinearWeights& source, std::size_t in, const Packing& packing,
            Epilogue epilogue = Epilogue::kNone) {
  const WeightPart part = source.part();
  return {std::span(&part, 1), in, packing.precision, epilogue, kernels(), packing.memory};
}

Linear pack_query_key_value(const LinearWeights& query, const LinearWeights& key,
                            const LinearWeights& value, std::size_t num_heads,
                            const Packing& packing) {
  const std::size_t hidden = query.bias.size();
  const std::size_t head_dim = hidden / num_heads;
  const float scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
  const WeightPart parts[] = {query.part(scale), key.part(), value.part()};
  return {parts, hidden, packing.precision, Epilogue::kNone, kernels(), packing.memory};
}

bool is_integer(Precision precision) {
  return precision == Precision::kInt16 || precision == Precision::kInt8;
}

Epilogue epilogue_of(Activation activation, Precision precision) {
  switch (activation) {
    case Activation::kGeluErf:
      return is_integer(precision) ? Epilogue::kGeluErfShort : Epilogue::kGeluErf;
    case Activation::kGeluTanh:
      return Epilogue::kGeluTanh;
    case Activation::kRelu:
      return Epilogue::kRelu;
  }
  return Epilogue::kNone;
}

/// The bucket of a key that stands `distance` behind the query. The logarithm is taken in single
/// precision, as the reference does: it decides in which bucket a distance falls.
std::size_t bucket_of_distance(std::int64_t distance, std::size_t num_buckets) {
  constexpr float kMaxDistance = 128;
  const std::size_t half = num_buckets / 2;
  const std::size_t num_exact = half / 2;
  const std::size_t first = distance > 0 ? half : 0;
  const auto length = static_cast<std::size_t>(distance < 0 ? -distance : distance);
  if (length < num_exact) return first + length;
  const auto exact = static_cast<float>(num_exact);
  const float place = std::log(static_cast<float>(length) / exact) /
                      static_cast<float>(std::log(static_cast<double>(kMaxDistance / exact))) *
                      static_cast<float>(half - num_exact);
  return first + std::min(num_exact + static_cast<std::size_t>(place), half - 1);
}

}  // namespace

void LayerNorm::add_and_normalize(std::size_t rows, TransformerWorkspace::State& state) const {
  kernels().add_layer_norm(state.hidden.data(), state.projected.data(), gamma.data(), beta.data(),
                           epsilon, rows, gamma.size());
  state.lap(&StageSeconds::norm);
}

RelativeBias::RelativeBias(std::span<const float> table, std::size_t num_heads,
                           std::size_t max_tokens)
    : max_tokens_(max_tokens), stride_(2 * max_tokens - 1 + kBiasPadding) {
  const std::size_t num_buckets = table.size() / num_heads;
  values_.resize(num_heads * stride_);
  for (std::size_t i = 0; i + 1 < 2 * max_tokens; ++i) {
    const std::size_t bucket = bucket_of_distance(
        static_cast<std::int64_t>(i) - static_cast<std::int64_t>(max_tokens - 1), num_buckets);
    for (std::size_t head = 0; head < num_heads; ++head) {
      values_[head * stride_ + i] = table[bucket * num_heads + head];
    }
  }
}

SelfAttention::SelfAttention(const LinearWeights& query, const LinearWeights& key,
                             const LinearWeights& value, const LinearWeights& output,
                             std::size_t num_heads, const Packing& packing)
    : hidden_(query.bias.size()),
      num_heads_(num_heads),
      in_words_(is_integer(packing.precision)),
      query_key_value_(pack_query_key_value(query, key, value, num_heads, packing)),
      output_(pack(output, hidden_, packing)) {}

void SelfAttention::run(const PackedTokens& tokens, TransformerWorkspace::State& state,
                        const RelativeBias* bias) const {
  const std::size_t rows = tokens.ids.size();
  float* wide = state.room(state.wide, rows * 3 * hidden_);
  query_key_value_.run(state.linear, rows, state.hidden.data(), wide);
  state.lap(&StageSeconds::projections);
  attend(tokens, state, bias);
  state.lap(&StageSeconds::attention);
  output_.run(state.linear, rows, state.context.data(),
              state.room(state.projected, rows * hidden_));
  state.lap(&StageSeconds::projections);
}

void SelfAttention::attend(const PackedTokens& tokens, TransformerWorkspace::State& state,
                           const RelativeBias* bias) const {
  const std::size_t head_dim = hidden_ / num_heads_;
  const auto attention = in_words_ ? kernels().attention_words : kernels().attention;
  float* context = state.room(state.context, tokens.ids.size() * hidden_);
  for (std::size_t t = 0; t + 1 < tokens.boundaries.size(); ++t) {
    const std::size_t begin = tokens.boundaries[t];
    const std::size_t num_tokens = tokens.boundaries[t + 1] - begin;
    if (num_tokens == 0) continue;
    float* scratch = state.room(state.attention, attention_scratch_floats(num_tokens, head_dim));
    for (std::size_t h = 0; h < num_heads_; ++h) {
      const float* query = state.wide.data() + begin * 3 * hidden_ + h * head_dim;
      attention({.query = query,
                 .key = query + hidden_,
                 .value = query + 2 * hidden_,
                 .output = context + begin * hidden_ + h * head_dim,
                 .scratch = scratch,
                 .num_tokens = num_tokens,
                 .head_dim = head_dim,
                 .qkv_stride = 3 * hidden_,
                 .output_stride = hidden_,
                 .bias = bias == nullptr ? nullptr : bias->values(h)});
    }
  }
}

FeedForward::FeedForward(const LinearWeights& inner, const LinearWeights& outer,
                         Activation activation, const Packing& packing)
    : inner_(pack(inner, outer.bias.size(), packing, epilogue_of(activation, packing.precision))),
      outer_(pack(outer, inner.bias.size(), packing)) {}

void FeedForward::run(std::size_t rows, TransformerWorkspace::State& state) const {
  float* wide = state.room(state.wide, rows * inner_.out());
  inner_.run(state.linear, rows, state.hidden.data(), wide);
  outer_.run(state.linear, rows, wide, state.room(state.projected, rows * outer_.out()));
  state.lap(&StageSeconds::feed_forward);
}

void check_tokens(const PackedTokens& tokens, std::size_t vocabulary, std::size_t max_positions) {
  const auto& ends = tokens.boundaries;
  if (ends.empty() || ends.front() != 0 || ends.back() != tokens.ids.size()) {
    throw InvalidArgument("the boundaries of packed tokens must begin at 0 and end at " +
                          std::to_string(tokens.ids.size()));
  }
  for (std::size_t t = 0; t + 1 < ends.size(); ++t) {
    if (ends[t + 1] < ends[t] || ends[t + 1] - ends[t] > max_positions) {
      throw InvalidArgument("text " + std::to_string(t) + " has " +
                            std::to_string(std::int64_t{ends[t + 1]} - std::int64_t{ends[t]}) +
                            " tokens, the model has " + std::to_string(max_positions) +
                            " positions");
    }
  }
  for (const std::int32_t id : tokens.ids) {
    if (id < 0 || static_cast<std::size_t>(id) >= vocabulary) {
      throw InvalidArgument("token id " + std::to_string(id) + " is outside the vocabulary of " +
                            std::to_string(vocabulary));
    }
  }
}

}  // namespace nearlite
