#include "nearlite/service/batching_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>
#include <thread>

#include "fake_store.h"

namespace nearlite {
namespace {

/// Holds its first call until `gate` opens, and notes the sizes of its batches.
class SlowEncoder : public WordEncoder {
 public:
  EncodedBatch encode(std::span<const std::string_view> texts, TextRole role) const override {
    if (!held_.exchange(true)) {
      begun.count_down();
      gate.wait();
    }
    {
      const std::scoped_lock lock(mutex_);
      sizes.push_back(texts.size());
    }
    for (const std::string_view text : texts) {
      if (text == "bad") throw InvalidArgument("a bad text");
    }
    EncodedBatch batch = WordEncoder::encode(texts, role);
    for (const std::string_view text : texts)
      batch.tokens.push_back(static_cast<std::uint32_t>(text.size()));
    return batch;
  }
  TokenizedText tokenize(std::string_view text) const override {
    ++num_tokenized;
    return WordEncoder::tokenize(text);
  }
  mutable std::atomic<int> num_tokenized{0};
  mutable std::latch begun{1};
  mutable std::latch gate{1};
  mutable std::vector<std::size_t> sizes;

 private:
  mutable std::atomic<bool> held_{false};
  mutable std::mutex mutex_;
};

EncodedBatch encode_one(const TextEncoder& encoder, std::string_view text) {
  return encoder.encode(std::span(&text, 1), TextRole::kPlain);
}

TEST(BatchingEncoder, JoinsThoseThatWaitAndGivesEachItsOwnVector) {
  const auto slow = std::make_shared<SlowEncoder>();
  const BatchingEncoder batching(slow, 64, 1);
  std::thread first([&] { encode_one(batching, "first"); });
  slow->begun.wait();  // the only place is taken: what comes now waits together
  const std::vector<std::string> texts = {"red apple", "green pear", "blue plum"};
  std::vector<std::vector<float>> found(texts.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    threads.emplace_back([&, i] {
      EncodedBatch one = encode_one(batching, texts[i]);
      found[i] = std::move(one.vectors);
      EXPECT_EQ(one.num_tokens, texts[i].size());
    });
  }
  while (batching.num_waiting() < texts.size()) std::this_thread::yield();
  slow->gate.count_down();
  first.join();
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(slow->sizes, testing::ElementsAre(1U, 3U));
  EXPECT_EQ(slow->num_tokenized, 0);  // the model has told how many tokens each text has
  const WordEncoder plain;
  for (std::size_t i = 0; i < texts.size(); ++i)
    EXPECT_EQ(found[i], encode_one(plain, texts[i]).vectors);
}

TEST(BatchingEncoder, OneBadTextFailsAlone) {
  const auto slow = std::make_shared<SlowEncoder>();
  const BatchingEncoder batching(slow, 64, 1);
  std::thread first([&] { encode_one(batching, "first"); });
  slow->begun.wait();
  std::thread bad([&] { EXPECT_THROW(encode_one(batching, "bad"), InvalidArgument); });
  std::thread good([&] { EXPECT_NO_THROW(encode_one(batching, "good")); });
  while (batching.num_waiting() < 2) std::this_thread::yield();
  slow->gate.count_down();
  first.join();
  bad.join();
  good.join();
}

TEST(BatchingEncoder, AFullCallGoesAloneAndPartsStaySmall) {
  const auto slow = std::make_shared<SlowEncoder>();
  slow->gate.count_down();
  const BatchingEncoder batching(slow, 2, 1);
  const std::vector<std::string_view> texts = {"a", "b", "c"};
  EXPECT_EQ(batching.encode(texts, TextRole::kPlain).vectors.size(), 3 * 509U);
  EXPECT_THAT(slow->sizes, testing::ElementsAre(3U));
}

}  // namespace
}  // namespace nearlite
