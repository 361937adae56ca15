#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>

namespace nearlite {

/// Joins calls that meet: while as many batches are under way as may be, other calls wait, and who
/// gets the next place works on all that wait by then and belong together. A call that meets no
/// other one is not delayed: there is no timer. Allocates nothing. For any number of threads.
template <typename Call>
class JoinedCalls {
  /// One call, on its caller's stack.
  struct Waiting {
    Call* call;
    Waiting* next = nullptr;
    bool done = false;
    bool leads = false;  // asked to work on the next batch
    std::exception_ptr failure = {};
    std::condition_variable changed = {};
  };

 public:
  /// The calls of one batch, in the order in which they came; not empty.
  class Batch {
   public:
    class Iterator {
     public:
      explicit Iterator(Waiting* at) : at_(at) {}
      Call& operator*() const { return *at_->call; }
      Iterator& operator++() {
        at_ = at_->next;
        return *this;
      }
      bool operator!=(const Iterator& other) const { return at_ != other.at_; }

     private:
      Waiting* at_;
    };
    Iterator begin() const { return Iterator(first_); }
    Iterator end() const { return Iterator(nullptr); }
    Call& front() const { return *first_->call; }
    std::size_t size() const { return size_; }

   private:
    friend JoinedCalls;
    void add(Waiting* one) {
      one->next = nullptr;
      (first_ == nullptr ? first_ : last_->next) = one;
      last_ = one;
      ++size_;
    }
    Waiting* first_ = nullptr;
    Waiting* last_ = nullptr;
    std::size_t size_ = 0;
  };

  /// at_once: batches that are worked on side by side, at least 1.
  explicit JoinedCalls(std::size_t at_once) : at_once_(at_once) {}

  /// Returns when `mine` was worked on. joins(batch, call): whether a call that waits belongs to
  /// the batch so far, does not throw; together(batch): works on several calls; alone(call): on
  /// one. One call may be to blame where together() throws: then each is worked on alone, and what
  /// alone() throws is thrown to the caller of that one.
  template <typename Joins, typename Together, typename Alone>
  void run(Call& mine, const Joins& joins, const Together& together, const Alone& alone) {
    Waiting self{.call = &mine};
    std::unique_lock lock(mutex_);
    queue_.add(&self);
    if (num_running_ < at_once_) {
      self.leads = true;
      ++num_running_;
    }
    while (!self.done) {
      if (!self.leads) {
        self.changed.wait(lock);
        continue;
      }
      if (queue_.size_ == 0) {  // another one has taken his call along
        self.leads = false;
        --num_running_;
        continue;
      }
      // Who leads works on the batch at the head of the queue, his own call among it or not.
      const Batch batch = take_batch(joins);
      lock.unlock();
      work(batch, together, alone);
      lock.lock();
      for (Waiting* one = batch.first_; one != nullptr; one = one->next) {
        one->done = true;
        if (one != &self) one->changed.notify_one();
      }
    }
    if (self.leads) hand_over();
    lock.unlock();
    if (self.failure) std::rethrow_exception(self.failure);
  }

  /// Calls that wait for a place.
  std::size_t num_waiting() const {
    const std::lock_guard lock(mutex_);
    return queue_.size_;
  }

 private:
  template <typename Together, typename Alone>
  static void work(const Batch& batch, const Together& together, const Alone& alone) {
    if (batch.size_ > 1) {
      try {
        together(batch);
        return;
      } catch (const std::exception&) {  // each alone
      }
    }
    for (Waiting* one = batch.first_; one != nullptr; one = one->next) {
      try {
        alone(*one->call);
      } catch (...) {
        one->failure = std::current_exception();
      }
    }
  }

  template <typename Joins>
  Batch take_batch(const Joins& joins) {
    Batch batch;
    Batch rest;
    for (Waiting* one = queue_.first_; one != nullptr;) {
      Waiting* const next = one->next;
      (batch.size_ == 0 || joins(batch, *one->call) ? batch : rest).add(one);
      one = next;
    }
    queue_ = rest;
    return batch;
  }

  /// The place goes to whoever waits longest, so that only he wakes up.
  void hand_over() {
    for (Waiting* one = queue_.first_; one != nullptr; one = one->next) {
      if (one->leads) continue;
      one->leads = true;
      one->changed.notify_one();
      return;
    }
    --num_running_;
  }

  std::size_t at_once_;
  mutable std::mutex mutex_;
  Batch queue_;
  std::size_t num_running_ = 0;
};

}  // namespace nearlite
