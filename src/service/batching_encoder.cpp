#include "nearlite/service/batching_encoder.h"

#include <condition_variable>
#include <exception>

#include "nearlite/base/cpu.h"

namespace nearlite {

/// One call, on its caller's stack.
struct BatchingEncoder::Waiting {
  std::span<const std::string_view> texts;
  TextRole role = TextRole::kPlain;
  EncodedBatch result{};
  std::exception_ptr failure{};
  bool done = false;
  bool leads = false;  // asked to run the next batch
  std::condition_variable changed{};
};

BatchingEncoder::BatchingEncoder(std::shared_ptr<const TextEncoder> inner, std::size_t most_texts,
                                 std::size_t at_once)
    : inner_(std::move(inner)),
      most_texts_(most_texts),
      at_once_(at_once == 0 ? available_cpus() : at_once) {}

EncodedBatch BatchingEncoder::encode(std::span<const std::string_view> texts, TextRole role) const {
  if (texts.size() >= most_texts_) return inner_->encode(texts, role);  // full already
  Waiting mine{.texts = texts, .role = role};
  std::unique_lock lock(mutex_);
  queue_.push_back(&mine);
  if (running_ < at_once_) {
    mine.leads = true;
    ++running_;
  }
  while (!mine.done) {
    if (!mine.leads) {
      mine.changed.wait(lock);
      continue;
    }
    if (queue_.empty()) {  // another one has taken his text along
      mine.leads = false;
      --running_;
      continue;
    }
    // Who leads runs the batch at the head of the queue, his own text or not.
    const std::vector<Waiting*> batch = take_batch();
    lock.unlock();
    run(batch);
    lock.lock();
    for (Waiting* call : batch) {
      call->done = true;
      if (call != &mine) call->changed.notify_one();
    }
  }
  if (mine.leads) hand_over();
  lock.unlock();
  if (mine.failure) std::rethrow_exception(mine.failure);
  return std::move(mine.result);
}

/// The place of a batch goes to whoever waits longest, so that only he wakes up.
void BatchingEncoder::hand_over() const {
  for (Waiting* call : queue_) {
    if (call->leads) continue;
    call->leads = true;
    call->changed.notify_one();
    return;
  }
  --running_;
}

std::size_t BatchingEncoder::num_waiting() const {
  const std::scoped_lock lock(mutex_);
  return queue_.size();
}

std::vector<BatchingEncoder::Waiting*> BatchingEncoder::take_batch() const {
  std::vector<Waiting*> batch;
  std::vector<Waiting*> rest;
  std::size_t texts = 0;
  for (Waiting* call : queue_) {
    const bool fits = batch.empty() || (call->role == batch.front()->role &&
                                        texts + call->texts.size() <= most_texts_);
    if (fits) texts += call->texts.size();
    (fits ? batch : rest).push_back(call);
  }
  queue_ = std::move(rest);
  return batch;
}

/// Counts the tokens of one text of a call. Where the model has told them only those that fill it
/// are looked at again: they may have been cut.
void BatchingEncoder::add_tokens(Waiting& call, std::size_t text_index, const EncodedBatch& all,
                                 std::size_t batch_index) const {
  const bool told = batch_index < all.tokens.size();
  if (told) call.result.num_tokens += all.tokens[batch_index];
  if (told && (all.num_truncated == 0 || all.tokens[batch_index] < info().max_tokens)) return;
  const TokenizedText tokens = inner_->tokenize(call.texts[text_index]);
  if (!told) call.result.num_tokens += tokens.ids.size();
  call.result.num_truncated += tokens.truncated ? 1 : 0;
}

void BatchingEncoder::run(const std::vector<Waiting*>& batch) const {
  if (batch.size() > 1) {
    try {
      std::vector<std::string_view> texts;
      for (const Waiting* call : batch)
        texts.insert(texts.end(), call->texts.begin(), call->texts.end());
      const EncodedBatch all = inner_->encode(texts, batch.front()->role);
      std::size_t begin = 0;
      for (Waiting* call : batch) {
        const std::size_t count = call->texts.size();
        const auto first = all.vectors.begin() + static_cast<std::ptrdiff_t>(begin * all.dim);
        call->result.vectors.assign(first, first + static_cast<std::ptrdiff_t>(count * all.dim));
        call->result.dim = all.dim;
        for (std::size_t i = 0; i < count; ++i) add_tokens(*call, i, all, begin + i);
        begin += count;
      }
      return;
    } catch (const std::exception&) {
      // One text may be to blame: each call is tried alone, and has its own failure.
    }
  }
  for (Waiting* call : batch) {
    try {
      call->result = inner_->encode(call->texts, call->role);
    } catch (...) {
      call->failure = std::current_exception();
    }
  }
}

}  // namespace nearlite
