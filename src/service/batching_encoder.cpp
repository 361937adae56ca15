#include "nearlite/service/batching_encoder.h"

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
};

BatchingEncoder::BatchingEncoder(std::shared_ptr<const TextEncoder> inner, std::size_t most_texts,
                                 std::size_t at_once)
    : inner_(std::move(inner)),
      most_texts_(most_texts),
      at_once_(at_once == 0 ? available_cpus() : at_once) {}

EncodedBatch BatchingEncoder::encode(std::span<const std::string_view> texts, TextRole role) const {
  if (texts.size() >= most_texts_) return inner_->encode(texts, role);  // full already
  Waiting mine{texts, role};
  std::unique_lock lock(mutex_);
  queue_.push_back(&mine);
  while (!mine.done) {
    if (running_ >= at_once_ || queue_.empty()) {
      changed_.wait(lock);
      continue;
    }
    // Whoever finds a free place runs the batch at the head of the queue, his own text or not.
    const std::vector<Waiting*> batch = take_batch();
    ++running_;
    lock.unlock();
    run(batch);
    lock.lock();
    --running_;
    for (Waiting* call : batch) call->done = true;
    changed_.notify_all();
  }
  lock.unlock();
  if (mine.failure) std::rethrow_exception(mine.failure);
  return std::move(mine.result);
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
        for (const std::string_view text : call->texts) {
          const TokenizedText tokens = inner_->tokenize(text);
          call->result.num_tokens += tokens.ids.size();
          call->result.num_truncated += tokens.truncated ? 1 : 0;
        }
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
